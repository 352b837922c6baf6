/** The core's shell: a WebSocket, timers, and one delivery per animation frame. */

import type { Snapshot, StreamEvent } from "../contract/events";
import { type Effect, StreamCore } from "./core";

/** Events that wait for a frame; beyond it they are delivered at once, so that a hidden page holds no more. */
const MOST_WAITING = 2_000;
/** A hidden page has no frames: it is brought up to date this often, ms. */
const HIDDEN_MS = 1_000;

export interface Listener {
  snapshot(snapshot: Snapshot): void;
  events(events: readonly StreamEvent[]): void;
  refetch(): void;
  /** The connection's state changed: read it from the core. */
  changed(core: StreamCore): void;
  /** Attempts fail one after another: perhaps the session is over. */
  failing(): void;
}

function jitter(): number {
  const word = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return word / 2 ** 32;
}

/** Connects and stays connected until `stop`. */
export function openStream(url: string, listener: Listener): { readonly stop: () => void } {
  const core = new StreamCore(jitter);
  let socket: WebSocket | null = null;
  let timer: number | undefined;
  let stopped = false;
  let waiting: StreamEvent[] = [];
  let frame: (() => void) | null = null;

  const deliver = () => {
    frame?.();
    frame = null;
    if (waiting.length === 0) return;
    const events = waiting;
    waiting = [];
    listener.events(events);
  };
  const plan = () => {
    if (frame !== null) return;
    if (document.hidden) {
      const id = setTimeout(deliver, HIDDEN_MS);
      frame = () => clearTimeout(id);
    } else {
      const id = requestAnimationFrame(deliver);
      frame = () => cancelAnimationFrame(id);
    }
  };
  const run = (effects: readonly Effect[]) => {
    for (const effect of effects) perform(effect);
    listener.changed(core);
  };
  const perform = (effect: Effect) => {
    switch (effect.do) {
      case "connect":
        clearTimeout(timer);
        timer = window.setTimeout(connect, effect.afterMs);
        break;
      case "send":
        socket?.send(JSON.stringify(effect.verb));
        break;
      case "close":
        drop();
        break;
      case "snapshot":
        deliver();
        listener.snapshot(effect.snapshot);
        break;
      case "events":
        waiting.push(...effect.events);
        if (waiting.length > MOST_WAITING) deliver();
        else plan();
        break;
      case "refetch":
        listener.refetch();
        break;
    }
  };
  const drop = () => {
    const old = socket;
    socket = null;
    old?.close();
    if (!stopped) run(core.closed(Date.now()));
  };
  const connect = () => {
    if (stopped) return;
    core.due(Date.now());
    listener.changed(core);
    const made = new WebSocket(url);
    socket = made;
    made.onopen = () => made === socket && run(core.opened(Date.now()));
    made.onmessage = (message: MessageEvent<unknown>) => {
      if (made === socket) run(core.received(typeof message.data === "string" ? message.data : "", Date.now()));
    };
    made.onclose = () => {
      if (made !== socket) return;
      socket = null;
      if (core.phase === "connecting") listener.failing();
      run(core.closed(Date.now()));
    };
  };
  const again = () => run(core.start(Date.now()));
  const shown = () => {
    if (document.hidden) return;
    deliver();
    again();
  };
  const ticker = window.setInterval(() => run(core.tick(Date.now())), 1_000);
  window.addEventListener("online", again);
  document.addEventListener("visibilitychange", shown);
  again();

  return {
    stop: () => {
      stopped = true;
      clearInterval(ticker);
      clearTimeout(timer);
      window.removeEventListener("online", again);
      document.removeEventListener("visibilitychange", shown);
      frame?.();
      const old = socket;
      socket = null;
      old?.close();
    },
  };
}
