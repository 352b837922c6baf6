/** The frame around every page: menu, state of the connection, time, theme, events. */

import { type ReactNode, Suspense, lazy, useCallback, useEffect, useRef, useState } from "react";

import type { Me } from "../contract/rest";
import { post } from "../net/api";
import { Link, go, usePathname } from "../routing/router";
import { ZONE, age, moment, offsetName } from "../text/time";
import { useConnection, useWorld } from "../world/store";
import { useNowMs } from "./clock";
import { setTheme, useTheme } from "./theme";

const Drawer = lazy(() => import("./drawer"));

const MENU = [
  ["/", "Market"],
  ["/batteries", "Batteries"],
  ["/aggregators", "Aggregators"],
  ["/trades", "Trades"],
  ["/competition", "Competition"],
  ["/network", "Network"],
] as const;

export function ThemeToggle() {
  const theme = useTheme();
  const other = theme === "dark" ? "light" : "dark";
  return (
    <button type="button" className="button" data-testid="theme-toggle" onClick={() => setTheme(other)} aria-label={`Change to the ${other} theme`}>
      <svg aria-hidden="true" viewBox="0 0 20 20" className="size-4" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round">
        {theme === "dark" ? (
          <path d="M10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M15.7 4.3l-1.1 1.1M5.4 14.6l-1.1 1.1M13.2 10a3.2 3.2 0 1 1-6.4 0 3.2 3.2 0 0 1 6.4 0z" />
        ) : (
          <path d="M16.5 11.9A7 7 0 0 1 8.1 3.5a7 7 0 1 0 8.4 8.4z" strokeLinejoin="round" />
        )}
      </svg>
    </button>
  );
}

function Menu() {
  const path = usePathname();
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone the menu scrolls: where we are is shown in it.
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [path]);
  const here = (to: string) => (to === "/" ? path === "/" || path.startsWith("/lots/") : path === to || path.startsWith(`${to}/`));
  return (
    <nav ref={nav} aria-label="Pages" className="-mx-1 overflow-x-auto px-1">
      <ul className="flex gap-1 py-1">
        {MENU.map(([to, name]) => (
          <li key={to}>
            <Link
              to={to}
              aria-current={here(to) ? "page" : undefined}
              className="block rounded-lg px-3 py-1.5 text-sm font-medium whitespace-nowrap text-muted hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent"
            >
              {name}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Live() {
  const phase = useConnection((connection) => connection.phase);
  const live = phase === "live";
  return (
    <span className="inline-flex items-center gap-1.5 text-sm whitespace-nowrap" data-testid="connection" data-phase={phase}>
      <span aria-hidden="true" className={`size-2 rounded-full ${live ? "bg-good" : "breathe bg-warn"}`} />
      <span className={live ? "text-muted" : "text-warn"}>{live ? "Live" : "Connecting"}</span>
    </span>
  );
}

/** Says which times are shown: the viewer's zone, and market time where it is another day than today. */
function Clock() {
  const replay = useWorld((world) => world.replay);
  const marketUs = useWorld((world) => (world.marketUs === null ? null : Math.floor(world.marketUs / 60e6) * 60e6));
  const now = useNowMs(60_000);
  return (
    <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted" data-testid="zone">
      {replay && marketUs !== null && (
        <span className="rounded-full bg-info-soft px-2 py-0.5 font-medium text-info" data-testid="replay">
          Replay of a recorded day: market time {moment(marketUs, "day")}, {moment(marketUs, "hour")}
        </span>
      )}
      <span>
        Times are in {ZONE.replaceAll("_", " ")} ({offsetName(replay && marketUs !== null ? marketUs / 1_000 : now)})
      </span>
    </p>
  );
}

/** A blip shorter than this is not worth a word, ms. */
const BLIP_MS = 1_200;

function Banner() {
  const { lostMs, heardMs, nextMs, known } = useConnection((connection) => connection);
  const now = useNowMs(250);
  const lost = lostMs !== null && now - lostMs > BLIP_MS;
  const since = heardMs ?? lostMs ?? now;
  return (
    <div data-testid="banner" data-lost={lost} className={lost ? "border-b border-line bg-warn-soft text-warn" : ""}>
      <div role="status" className="sr-only">
        {lost ? "Connection to the gateway lost. What is shown is getting old; it reconnects by itself." : ""}
      </div>
      {lost && (
        <p aria-hidden="true" className="number mx-auto flex max-w-7xl flex-wrap gap-x-2 px-4 py-2 text-sm font-medium">
          <span>Disconnected.</span>
          <span data-testid="data-age">{known ? `What is shown is ${age((now - since) * 1_000)} old.` : "Nothing could be read yet."}</span>
          <span>{nextMs === null ? "Connecting…" : `Next attempt in ${Math.max(1, Math.ceil((nextMs - now) / 1_000))} s.`}</span>
        </p>
      )}
    </div>
  );
}

function User({ me, left }: { me: Me; left: () => void }) {
  if (me.via !== "session") return null;
  const out = () => {
    const gone = () => {
      left();
      go("/login", { replace: true });
    };
    post("/logout", {}).then(gone, gone);
  };
  return (
    <button type="button" className="button max-w-40" onClick={out} title={`Logged in as ${me.name} (${me.role})`} data-testid="logout">
      <span className="truncate">Log out</span>
    </button>
  );
}

export function Shell({ me, left, children }: { me: Me; left: () => void; children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const close = useCallback(() => {
    setOpen(false);
    opener.current?.focus();
  }, []);

  return (
    <div className={open ? "lg:pr-[26rem]" : ""}>
      <a href="#main" className="sr-only z-50 rounded-lg bg-accent px-3 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2">
        Skip to the content
      </a>
      <header>
        <div className="border-b border-line bg-surface">
        <div className="mx-auto flex max-w-7xl flex-wrap items-center gap-x-4 gap-y-1 px-4 pt-2">
          <Link to="/" className="flex items-center gap-2 py-1 font-semibold tracking-tight" aria-label="ETP Market">
            <img src="/favicon.svg" alt="" width="24" height="24" />
            <span>
              ETP<span className="hidden sm:inline"> Market</span>
            </span>
          </Link>
          <div className="ml-auto flex items-center gap-2">
            <Live />
            <button
              ref={opener}
              type="button"
              className="button"
              aria-expanded={open}
              aria-controls="events"
              data-testid="events-toggle"
              onClick={() => setOpen(!open)}
            >
              Events
            </button>
            <ThemeToggle />
            <User me={me} left={left} />
          </div>
          <div className="w-full min-w-0">
            <Menu />
          </div>
        </div>
        </div>
        <Banner />
        <div className="mx-auto max-w-7xl px-4 pt-3">
          <Clock />
        </div>
      </header>
      <main id="main" tabIndex={-1} className="mx-auto max-w-7xl px-4 pt-3 pb-10 outline-none">
        {children}
      </main>
      {open && (
        <Suspense fallback={null}>
          <Drawer close={close} />
        </Suspense>
      )}
    </div>
  );
}
