/** Where we are: the URL, and links that change it without loading the page anew. */

import { type AnchorHTMLAttributes, type MouseEvent, useCallback, useMemo, useSyncExternalStore } from "react";

let moved = false;

/** Whether a link was followed since the page was loaded. */
export function hasMoved(): boolean {
  return moved;
}

const readers = new Set<() => void>();

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  window.addEventListener("popstate", reader);
  return () => {
    readers.delete(reader);
    window.removeEventListener("popstate", reader);
  };
}

/** Goes there; `replace` leaves no entry to come back to. */
export function go(to: string, { replace = false }: { replace?: boolean } = {}): void {
  const before = window.location.pathname;
  moved ||= !replace;
  if (replace) window.history.replaceState(null, "", to);
  else window.history.pushState(null, "", to);
  if (window.location.pathname !== before) window.scrollTo(0, 0);
  for (const reader of readers) reader();
}

export function usePathname(): string {
  return useSyncExternalStore(subscribe, () => window.location.pathname);
}

function useSearch(): string {
  return useSyncExternalStore(subscribe, () => window.location.search);
}

/** The query's values, and how to change some of them (null or "": gone). */
export function useQuery(): readonly [URLSearchParams, (change: Readonly<Record<string, string | null>>) => void] {
  const search = useSearch();
  const values = useMemo(() => new URLSearchParams(search), [search]);
  const change = useCallback((wanted: Readonly<Record<string, string | null>>) => {
    const next = new URLSearchParams(window.location.search);
    for (const [name, value] of Object.entries(wanted)) {
      if (value === null || value === "") next.delete(name);
      else next.set(name, value);
    }
    const text = next.toString();
    go(text === "" ? window.location.pathname : `${window.location.pathname}?${text}`);
  }, []);
  return [values, change];
}

/** A link within this page. A click with a modifier does what the browser does with it. */
export function Link({ to, onClick, children, ...rest }: { to: string } & AnchorHTMLAttributes<HTMLAnchorElement>) {
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} onClick={click} {...rest}>
      {children}
    </a>
  );
}
