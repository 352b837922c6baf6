/** Small parts of every page. */

import { type ReactNode, useEffect, useId, useRef } from "react";

import { ApiError } from "../net/api";
import { Link, hasMoved } from "../routing/router";
import { moment, offsetName, ZONE } from "../text/time";

/** The page's head: focused when the page changes, so that a screen reader says where it is. */
export function Heading({ children, title, aside }: { children: ReactNode; title: string; aside?: ReactNode }) {
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · ETP Market`;
  }, [title]);
  useEffect(() => {
    // At the first page the keyboard begins at the skip link, as everywhere.
    if (hasMoved()) ref.current?.focus({ preventScroll: true });
  }, []);
  return (
    <div className="mb-4 flex flex-wrap items-center gap-x-4 gap-y-2">
      <h1 ref={ref} tabIndex={-1} className="text-xl font-semibold tracking-tight wrap-anywhere">
        {children}
      </h1>
      {aside}
    </div>
  );
}

export function Panel({ title, aside, children, pad = true, className = "", testId }: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
  pad?: boolean;
  className?: string;
  testId?: string;
}) {
  const id = useId();
  return (
    <section aria-labelledby={id} className={`panel min-w-0 ${className}`} data-testid={testId}>
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1 px-4 pt-3 pb-2">
        <h2 id={id} className="font-semibold">
          {title}
        </h2>
        {aside !== undefined && <div className="text-sm text-muted">{aside}</div>}
      </div>
      <div className={pad ? "px-4 pb-4" : "pb-1"}>{children}</div>
    </section>
  );
}

export type Tone = "good" | "warn" | "bad" | "info" | "plain";
const TONES: Readonly<Record<Tone, string>> = {
  good: "bg-good-soft text-good",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
  info: "bg-info-soft text-info",
  plain: "bg-raised text-muted",
};

/** A state in a word. The word says it; the colour only helps. */
export function Badge({ tone = "plain", children, testId }: { tone?: Tone; children: ReactNode; testId?: string }) {
  return (
    <span data-testid={testId} className={`inline-block rounded-full px-2 py-0.5 text-xs font-medium whitespace-nowrap ${TONES[tone]}`}>
      {children}
    </span>
  );
}

export function Online({ online }: { online: boolean }) {
  return (
    <span className="inline-flex items-center gap-1.5 whitespace-nowrap">
      <span aria-hidden="true" className={`size-2 rounded-full ${online ? "bg-good" : "border-2 border-bad"}`} />
      {online ? "online" : "offline"}
    </span>
  );
}

/** A figure with its name and what it is compared with. */
export function Figure({ label, value, note, testId }: { label: string; value: ReactNode; note?: ReactNode; testId?: string }) {
  return (
    <div className="min-w-0 px-4 py-3" data-testid={testId}>
      <dt className="text-xs text-muted">{label}</dt>
      <dd className="number mt-0.5 text-lg font-semibold tracking-tight wrap-anywhere">{value}</dd>
      {note !== undefined && <dd className="number text-xs text-muted">{note}</dd>}
    </div>
  );
}

/** Figures side by side. */
export function Figures({ children, label }: { children: ReactNode; label: string }) {
  return (
    <dl aria-label={label} className="panel mb-4 grid grid-cols-2 overflow-hidden sm:grid-cols-3 lg:grid-cols-6">
      {children}
    </dl>
  );
}

/** Names and values below each other. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1 text-sm">
      {rows.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="number min-w-0 text-right wrap-anywhere sm:text-left [&_time]:whitespace-normal">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="px-4 py-8 text-center text-sm text-muted">{children}</p>;
}

/** While the first answer is awaited: the shape of what comes. */
export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div role="status" className="px-4 py-3">
      <span className="sr-only">Loading</span>
      <div aria-hidden="true" className="breathe space-y-3">
        {Array.from({ length: rows }, (_, row) => (
          <div key={row} className="h-4 rounded bg-raised" />
        ))}
      </div>
    </div>
  );
}

export function Failed({ error, reload }: { error: ApiError; reload: () => void }) {
  const missing = error.status === 404;
  return (
    <div role="alert" className="flex flex-wrap items-center gap-3 px-4 py-6 text-sm">
      <p className="min-w-0 flex-1 wrap-anywhere">
        <strong className="font-semibold">{missing ? "Not there. " : "This could not be read. "}</strong>
        {error.message}
      </p>
      <button type="button" className="button" onClick={reload}>
        Try again
      </button>
    </div>
  );
}

/** Loading, failed, empty or the list itself. */
export function Answer<T>({ of, children, rows }: {
  of: { readonly data: T | null; readonly error: ApiError | null; readonly reload: () => void };
  children: (data: T) => ReactNode;
  rows?: number;
}) {
  if (of.data !== null) return <>{children(of.data)}</>;
  if (of.error !== null) return <Failed error={of.error} reload={of.reload} />;
  return <Loading rows={rows ?? 4} />;
}

export function BatteryLink({ id }: { id: string }) {
  return (
    <Link to={`/batteries/${id}`} className="link link-id">
      {id}
    </Link>
  );
}

export function AggregatorLink({ id }: { id: string }) {
  return (
    <Link to={`/aggregators/${id}`} className="link link-id">
      {id}
    </Link>
  );
}

/** A moment in the viewer's zone; what hovers has all digits and the zone. */
export function Moment({ us, shape = "minute" }: { us: number | null; shape?: "time" | "minute" | "day" | "full" | "hour" }) {
  if (us === null) return <>–</>;
  const at = new Date(us / 1_000);
  return (
    <time dateTime={at.toISOString()} title={`${moment(us)} ${ZONE} (${offsetName(us / 1_000)})`} className="whitespace-nowrap">
      {moment(us, shape)}
    </time>
  );
}

const SETTLEMENTS: Readonly<Record<string, Tone>> = {
  settled: "good",
  confirmed: "plain",
  settling: "info",
  held: "info",
  refused: "warn",
  disputed: "warn",
  defaulted: "bad",
  refunded: "bad",
};

export function Settlement({ state }: { state: string | null | undefined }) {
  if (state === undefined) return <span className="text-muted">–</span>;
  if (state === null) return <span className="text-muted">no chain</span>;
  return <Badge tone={SETTLEMENTS[state] ?? "plain"}>{state}</Badge>;
}

export function Delivery({ state }: { state: string }) {
  return <Badge tone={state === "delivered" ? "good" : state === "short" ? "warn" : "plain"}>{state}</Badge>;
}

/** What somebody is offered to copy: long hex, shortened to the eye only. */
export function Hex({ children }: { children: string }) {
  return <code className="font-mono text-xs break-all">{children}</code>;
}
