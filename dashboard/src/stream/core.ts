/**
 * The stream's client as a core: what was heard goes in, what to do comes out. It knows no socket, no clock and no random
 * source; `stream/client.ts` has them.
 *
 *   connecting  a socket is being opened; nothing is known of it yet
 *   greeting    the socket is open: Welcome, Resumed or Snapshot is awaited
 *   live        what is shown is what the gateway knows
 *   waiting     the connection is gone; the next one is tried after a back-off
 *
 * After a lost connection it resumes behind the last event; where the gateway no longer holds what was missed, or is another
 * one, it takes a snapshot, and `refetch` says that what REST gave is old.
 */

import type { Said, Snapshot, StreamEvent, Verb } from "../contract/events";

export interface Timing {
  /** The first wait after a lost connection, ms; doubled each time. */
  readonly firstWaitMs: number;
  /** The longest wait, ms. */
  readonly longestWaitMs: number;
  /** So long nothing is heard, then it asks, ms: nodes that run say something every few seconds. */
  readonly quietMs: number;
  /** So long an answer may take, also the first one of a connection, ms. */
  readonly answerMs: number;
}

export const TIMING: Timing = { firstWaitMs: 500, longestWaitMs: 15_000, quietMs: 15_000, answerMs: 10_000 };
/** Ids of durable events that are remembered, to leave out what comes twice. */
export const REMEMBERED = 4_096;

export type Phase = "connecting" | "greeting" | "live" | "waiting";

export type Effect =
  | { readonly do: "connect"; readonly afterMs: number }
  | { readonly do: "send"; readonly verb: Verb }
  | { readonly do: "close" }
  | { readonly do: "snapshot"; readonly snapshot: Snapshot }
  | { readonly do: "events"; readonly events: readonly StreamEvent[] }
  /** What REST answered before may be old now. */
  | { readonly do: "refetch" };

const SAID: ReadonlySet<string> = new Set(["Welcome", "Subscribed", "Snapshot", "Resumed", "Error"]);

export class StreamCore {
  phase: Phase = "waiting";
  epoch = "";
  seq = 0;
  /** When the gateway was last heard, ms; null: never. */
  heardMs: number | null = null;
  /** When the next attempt is made, ms; null: none is planned. */
  nextMs: number | null = null;
  /** Failed attempts in a row. */
  failures = 0;
  /** What the gateway said of a verb that it did not understand. */
  refusal: string | null = null;

  readonly #timing: Timing;
  readonly #jitter: () => number;
  readonly #seen = new Set<string>();
  #sinceMs = 0;
  #asked = false;
  #snapshots = 0;

  /** `jitter` gives numbers in [0, 1). */
  constructor(jitter: () => number, timing: Timing = TIMING) {
    this.#jitter = jitter;
    this.#timing = timing;
  }

  /** The first connection, or one at once instead of after the back-off. */
  start(nowMs: number): readonly Effect[] {
    if (this.phase !== "waiting") return [];
    return this.#connect(nowMs);
  }

  /** The socket is open. */
  opened(nowMs: number): readonly Effect[] {
    this.phase = "greeting";
    this.#sinceMs = nowMs;
    this.#asked = false;
    return [];
  }

  /** The socket is closed, or never opened. */
  closed(nowMs: number): readonly Effect[] {
    if (this.phase === "waiting") return [];
    this.phase = "waiting";
    const whole = Math.min(this.#timing.longestWaitMs, this.#timing.firstWaitMs * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 16);
    const afterMs = Math.round(whole * (0.5 + 0.5 * this.#jitter()));
    this.nextMs = nowMs + afterMs;
    return [{ do: "connect", afterMs }];
  }

  /** The wait is over. */
  due(nowMs: number): readonly Effect[] {
    if (this.phase === "waiting") this.#begin(nowMs);
    return [];
  }

  /** A message: an array of sayings and events. What is no such array ends the connection. */
  received(text: string, nowMs: number): readonly Effect[] {
    const elements = parsed(text);
    if (elements === null) return [{ do: "close" }];
    this.heardMs = nowMs;
    this.#sinceMs = nowMs;
    this.#asked = false;
    const effects: Effect[] = [];
    const events: StreamEvent[] = [];
    for (const element of elements) {
      if (SAID.has(element.type)) {
        flush(events, effects);
        effects.push(...this.#said(element as Said));
      } else if (this.#isNew(element as StreamEvent)) {
        events.push(element as StreamEvent);
      }
    }
    flush(events, effects);
    return effects;
  }

  /** Called every second or so: asks where nothing is heard, gives up where nothing is answered. */
  tick(nowMs: number): readonly Effect[] {
    const silent = nowMs - this.#sinceMs;
    if (this.phase === "connecting" || this.phase === "greeting" || this.#asked) {
      return this.phase !== "waiting" && silent > this.#timing.answerMs ? [{ do: "close" }] : [];
    }
    if (this.phase !== "live" || silent <= this.#timing.quietMs) return [];
    this.#asked = true;
    this.#sinceMs = nowMs;
    return [{ do: "send", verb: { verb: "request_snapshot" } }];
  }

  #connect(nowMs: number): readonly Effect[] {
    this.#begin(nowMs);
    return [{ do: "connect", afterMs: 0 }];
  }

  #begin(nowMs: number): void {
    this.phase = "connecting";
    this.nextMs = null;
    this.#sinceMs = nowMs;
    this.#asked = false;
  }

  #said(said: Said): readonly Effect[] {
    switch (said.type) {
      case "Welcome":
        return this.#welcomed(said.epoch);
      case "Resumed":
        return this.#resumed(said.epoch, said.seq, said.gap, said.telemetry_gap);
      case "Snapshot":
        return this.#snapshot(said);
      case "Error":
        this.refusal = said.reason;
        return [];
      case "Subscribed":
        return [];
    }
  }

  #welcomed(epoch: string): readonly Effect[] {
    if (this.epoch === epoch && this.seq > 0) {
      return [{ do: "send", verb: { verb: "resume", epoch, seq: this.seq } }];
    }
    this.#seen.clear();
    this.seq = 0;
    return [
      { do: "send", verb: { verb: "subscribe", types: null, nodes: null } },
      { do: "send", verb: { verb: "request_snapshot" } },
    ];
  }

  #resumed(epoch: string, seq: number, gap: boolean, telemetryGap: boolean): readonly Effect[] {
    this.epoch = epoch;
    this.#live();
    if (gap) {
      this.seq = Math.max(this.seq, seq); // the Snapshot that follows has the rest
      return [{ do: "refetch" }];
    }
    // Statuses that were never stored come by a snapshot only.
    return telemetryGap ? [{ do: "send", verb: { verb: "request_snapshot" } }] : [];
  }

  #snapshot(snapshot: Snapshot): readonly Effect[] {
    this.epoch = snapshot.epoch;
    this.seq = snapshot.seq;
    this.#live();
    this.#snapshots += 1;
    const effects: Effect[] = [{ do: "snapshot", snapshot }];
    // Events up to it are not sent again, so lists that REST gave before may lack them.
    return this.#snapshots > 1 ? [...effects, { do: "refetch" }] : effects;
  }

  #live(): void {
    this.phase = "live";
    this.failures = 0;
  }

  #isNew(event: StreamEvent): boolean {
    if (event.seq <= this.seq) return false;
    this.seq = event.seq;
    if (event.id === null) return true;
    if (this.#seen.has(event.id)) return false;
    this.#seen.add(event.id);
    if (this.#seen.size > REMEMBERED) {
      const oldest = this.#seen.values().next();
      if (oldest.done !== true) this.#seen.delete(oldest.value);
    }
    return true;
  }
}

function flush(events: StreamEvent[], effects: Effect[]): void {
  if (events.length > 0) effects.push({ do: "events", events: events.splice(0) });
}

function parsed(text: string): readonly { readonly type: string }[] | null {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return null;
    const typed = (one: unknown): one is { type: string } =>
      typeof one === "object" && one !== null && "type" in one && typeof one.type === "string";
    return value.every(typed) ? value : null;
  } catch {
    return null;
  }
}
