/** Paths and what they show. Pure. */

export type Route =
  | { readonly page: "market" | "batteries" | "aggregators" | "trades" | "competition" | "network" | "login" }
  | { readonly page: "battery" | "aggregator"; readonly id: string }
  | { readonly page: "trade" | "lot"; readonly battery: string; readonly lot: string }
  | { readonly page: "unknown" };

const LISTS: Readonly<Record<string, "market" | "batteries" | "aggregators" | "trades" | "competition" | "network" | "login">> = {
  "": "market",
  batteries: "batteries",
  aggregators: "aggregators",
  trades: "trades",
  competition: "competition",
  network: "network",
  login: "login",
};
const ID = /^[0-9]{1,20}$/;

/** What a path shows. */
export function routeOf(pathname: string): Route {
  const [first = "", ...rest] = pathname.replace(/^\/+|\/+$/g, "").split("/");
  const list = LISTS[first];
  if (rest.length === 0 && list !== undefined) return { page: list };
  if (!rest.every((part) => ID.test(part))) return { page: "unknown" };
  const [one, two] = rest;
  if (one !== undefined && two === undefined && first === "batteries") return { page: "battery", id: one };
  if (one !== undefined && two === undefined && first === "aggregators") return { page: "aggregator", id: one };
  if (one !== undefined && two !== undefined && rest.length === 2) {
    if (first === "trades") return { page: "trade", battery: one, lot: two };
    if (first === "lots") return { page: "lot", battery: one, lot: two };
  }
  return { page: "unknown" };
}

/** Where to go after the login: a path of this page, never another site's. */
export function nextPath(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? "/";
  return /^\/(?![/\\])/.test(next) && !next.startsWith("/login") ? next : "/";
}
