/** Who may see, the frame around every page, and which page. */

import { Component, type ErrorInfo, type ReactNode, Suspense, lazy, useCallback, useEffect, useState } from "react";

import type { Me } from "./contract/rest";
import { ApiError, get, whenUnauthorised } from "./net/api";
import { forgetAll } from "./net/resource";
import Login from "./pages/login";
import Market from "./pages/market";
import { go, usePathname } from "./routing/router";
import { type Route, nextPath, routeOf } from "./routing/routes";
import { Empty, Failed, Heading, Loading } from "./ui/parts";
import { Shell } from "./ui/shell";
import { connectWorld } from "./world/store";

const Batteries = lazy(() => import("./pages/batteries"));
const Battery = lazy(() => import("./pages/battery"));
const Aggregators = lazy(() => import("./pages/aggregators"));
const Aggregator = lazy(() => import("./pages/aggregator"));
const Trades = lazy(() => import("./pages/trades"));
const Trade = lazy(() => import("./pages/trade"));
const Lot = lazy(() => import("./pages/lot"));
const Competition = lazy(() => import("./pages/competition"));
const Network = lazy(() => import("./pages/network"));

function page(route: Route): ReactNode {
  switch (route.page) {
    case "market":
      return <Market />;
    case "batteries":
      return <Batteries />;
    case "battery":
      return <Battery id={route.id} />;
    case "aggregators":
      return <Aggregators />;
    case "aggregator":
      return <Aggregator id={route.id} />;
    case "trades":
      return <Trades />;
    case "trade":
      return <Trade battery={route.battery} lot={route.lot} />;
    case "lot":
      return <Lot battery={route.battery} lot={route.lot} />;
    case "competition":
      return <Competition />;
    case "network":
      return <Network />;
    case "login":
    case "unknown":
      return <Unknown />;
  }
}

function Unknown() {
  return (
    <>
      <Heading title="Not there">There is no such page</Heading>
      <div className="panel">
        <Empty>The address names no page of this dashboard; the menu above has them all.</Empty>
      </div>
    </>
  );
}

type Access = { readonly state: "asking" } | { readonly state: "out" } | { readonly state: "in"; readonly me: Me } | { readonly state: "failed"; readonly error: ApiError };

function useAccess(): readonly [Access, () => void, () => void] {
  const [access, setAccess] = useState<Access>({ state: "asking" });
  const ask = useCallback(() => {
    get<Me>("/me").then(
      (me) => setAccess({ state: "in", me }),
      (cause: unknown) => {
        const error = cause instanceof ApiError ? cause : new ApiError(0, "The gateway does not answer.");
        if (error.status === 401) setAccess({ state: "out" });
        // A gateway that is away for a moment logs nobody out.
        else setAccess((before) => (before.state === "in" ? before : { state: "failed", error }));
      },
    );
  }, []);
  const leave = useCallback(() => {
    forgetAll();
    setAccess({ state: "out" });
  }, []);
  return [access, ask, leave];
}

/** A page that breaks says so, and the others work on. */
class Guard extends Component<{ readonly children: ReactNode }, { readonly error: Error | null }> {
  override state = { error: null as Error | null };
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override componentDidCatch(error: Error, info: ErrorInfo) {
    console.error(error, info.componentStack);
  }
  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <>
        <Heading title="Error">This page broke</Heading>
        <div className="panel">
          <Failed error={new ApiError(0, error.message)} reload={() => this.setState({ error: null })} />
        </div>
      </>
    );
  }
}

export function App() {
  const [access, ask, leave] = useAccess();
  const path = usePathname();
  const route = routeOf(path);
  const atLogin = route.page === "login";

  useEffect(() => {
    whenUnauthorised(leave);
    if (!atLogin) ask();
    // Once: later answers of 401 say when the session is over.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  const inside = access.state === "in";
  useEffect(() => (inside ? connectWorld(ask) : undefined), [inside, ask]);

  const entered = useCallback(
    () => {
      ask();
      go(nextPath(window.location.search), { replace: true });
    },
    [ask],
  );
  useEffect(() => {
    if (access.state !== "out" || atLogin) return;
    const here = `${window.location.pathname}${window.location.search}`;
    go(here === "/" ? "/login" : `/login?next=${encodeURIComponent(here)}`, { replace: true });
  }, [access.state, atLogin]);

  if (atLogin) return <Login entered={entered} />;
  if (access.state === "failed") return <Away error={access.error} ask={ask} />;
  if (access.state !== "in") return <Loading />;
  return (
    <Shell me={access.me} left={leave}>
      <Guard key={path}>
        <Suspense fallback={<Loading />}>{page(route)}</Suspense>
      </Guard>
    </Shell>
  );
}

function Away({ error, ask }: { error: ApiError; ask: () => void }) {
  useEffect(() => {
    const timer = setInterval(ask, 3_000);
    return () => clearInterval(timer);
  }, [ask]);
  return (
    <main className="mx-auto max-w-xl p-6">
      <Heading title="No answer">The gateway does not answer</Heading>
      <div className="panel">
        <Failed error={error} reload={ask} />
      </div>
    </main>
  );
}
