/** Events as they come, with filter and pause; each can be read whole. */

import { memo, useEffect, useMemo, useRef, useState } from "react";

import { EVENT_TYPES, type StreamEvent } from "../contract/events";
import { describe } from "../text/describe";
import { moment } from "../text/time";
import { useWorld } from "../world/store";

/** Lines that are drawn; the filter looks at all that are held. */
const MOST_DRAWN = 120;

const Line = memo(function Line({ event }: { event: StreamEvent }) {
  const [open, setOpen] = useState(false);
  return (
    <li className="border-b border-line" data-testid="event-row" data-type={event.type}>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="grid w-full grid-cols-[auto_1fr] gap-x-3 px-4 py-1.5 text-left text-sm hover:bg-raised"
      >
        <span className="number text-xs leading-5 text-muted">{moment(event.time_us, "time")}</span>
        <span className="min-w-0">
          <span className="font-medium">{event.type}</span> <span className="number text-muted">{event.node}</span>
          <span className="block text-muted wrap-anywhere">{describe(event)}</span>
        </span>
      </button>
      {open && (
        <pre data-testid="event-json" className="mx-4 mb-2 overflow-x-auto rounded-lg bg-raised p-3 font-mono text-xs" role="region" aria-label={`${event.type} as JSON`} tabIndex={0}>
          {JSON.stringify(event, null, 2)}
        </pre>
      )}
    </li>
  );
});

export default function Drawer({ close }: { close: () => void }) {
  const live = useWorld((world) => world.events);
  const [held, setHeld] = useState<readonly StreamEvent[] | null>(null);
  const [type, setType] = useState("");
  const [node, setNode] = useState("");
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => head.current?.focus(), []);

  const events = held ?? live;
  const shown = useMemo(
    () => events.filter((event) => (type === "" || event.type === type) && (node === "" || event.node === node)).slice(0, MOST_DRAWN),
    [events, type, node],
  );
  const newestHeld = held?.[0]?.seq ?? 0;
  const missed = held === null ? 0 : live.filter((event) => event.seq > newestHeld).length;
  useEffect(() => {
    const keys = (event: KeyboardEvent) => {
      if (event.key === "Escape") close();
    };
    document.addEventListener("keydown", keys);
    return () => document.removeEventListener("keydown", keys);
  }, [close]);

  return (
    <aside
      id="events"
      aria-labelledby="events-head"
      data-testid="events-drawer"
      className="fixed inset-y-0 right-0 z-40 flex w-full flex-col border-l border-line bg-surface shadow-xl sm:w-[26rem]"
    >
      <div className="flex items-center justify-between gap-2 px-4 pt-3">
        <h2 id="events-head" ref={head} tabIndex={-1} className="font-semibold outline-none">
          Events
        </h2>
        <div className="flex gap-2">
          <button type="button" className="button" aria-pressed={held !== null} data-testid="events-pause" onClick={() => setHeld(held === null ? live : null)}>
            {held === null ? "Pause" : `Go on (${missed}${missed >= live.length && missed > 0 ? " or more" : ""} new)`}
          </button>
          <button type="button" className="button" onClick={close} data-testid="events-close">
            Close
          </button>
        </div>
      </div>
      <div className="grid grid-cols-2 gap-2 border-b border-line px-4 py-3 text-sm">
        <label className="min-w-0">
          <span className="mb-1 block text-xs text-muted">Type</span>
          <select className="control w-full" value={type} onChange={(event) => setType(event.target.value)} data-testid="events-type">
            <option value="">all</option>
            {EVENT_TYPES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="min-w-0">
          <span className="mb-1 block text-xs text-muted">Node</span>
          <input className="control w-full" inputMode="numeric" placeholder="all" value={node} onChange={(event) => setNode(event.target.value.trim())} data-testid="events-node" />
        </label>
      </div>
      <ol className="min-h-0 flex-1 overflow-y-auto" data-testid="events-list">
        {shown.map((event) => (
          <Line key={event.seq} event={event} />
        ))}
        {shown.length === 0 && (
          <li className="px-4 py-8 text-center text-sm text-muted">
            {events.length === 0 ? "Nothing has happened since this page was opened." : "No event that is held fits the filter."}
          </li>
        )}
      </ol>
      <p className="border-t border-line px-4 py-2 text-xs text-muted">The newest {MOST_DRAWN} are shown; older ones are in the store.</p>
    </aside>
  );
}
