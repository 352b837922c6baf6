/** Filters and pages of lists: both stand in the URL, so that what is seen can be shared. */

import type { ReactNode } from "react";

import { useQuery } from "../routing/router";

export function OnlineFilter() {
  const [filters, change] = useQuery();
  return (
    <label className="ml-auto flex items-center gap-2 text-sm">
      <span className="text-muted">Show</span>
      <select className="control" value={filters.get("online") ?? ""} onChange={(event) => change({ online: event.target.value, cursor: null })} data-testid="filter-online">
        <option value="">all</option>
        <option value="true">online</option>
        <option value="false">offline</option>
      </select>
    </label>
  );
}

/** To what follows, and back to the beginning; the browser's back goes one page back. */
export function Pager({ next }: { next: string | null }) {
  const [filters, change] = useQuery();
  const deeper = filters.has("cursor");
  if (next === null && !deeper) return null;
  return (
    <nav aria-label="Pages of this list" className="flex justify-end gap-2 border-t border-line px-4 py-2">
      {deeper && (
        <button type="button" className="button" onClick={() => change({ cursor: null })} data-testid="page-first">
          First page
        </button>
      )}
      <button type="button" className="button" disabled={next === null} onClick={() => change({ cursor: next })} data-testid="page-next">
        {next === null ? "This is the end" : "Next page"}
      </button>
    </nav>
  );
}

export function Field({ name, wide = false, children }: { name: string; wide?: boolean; children: ReactNode }) {
  return (
    <label className={`block min-w-0 text-sm ${wide ? "col-span-2" : ""}`}>
      <span className="mb-1 block text-xs text-muted">{name}</span>
      {children}
    </label>
  );
}
