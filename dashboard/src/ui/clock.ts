/** The time, for what ticks: one timer for all that look at it. */

import { useSyncExternalStore } from "react";

import { useWorld } from "../world/store";

/** Fast enough for a lot that closes after 200 ms to be seen closing. */
const TICK_MS = 250;
const readers = new Set<() => void>();
let nowMs = Date.now();
let timer: number | undefined;

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  timer ??= window.setInterval(() => {
    nowMs = Date.now();
    for (const each of readers) each();
  }, TICK_MS);
  return () => {
    readers.delete(reader);
    if (readers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Our wall clock, ms, to `stepMs`. */
export function useNowMs(stepMs = 1_000): number {
  return useSyncExternalStore(subscribe, () => Math.floor(nowMs / stepMs) * stepMs);
}

/** The gateway's clock, µs: what nodes' times are compared with. */
export function useGatewayUs(stepMs = 1_000): number {
  const now = useNowMs(stepMs);
  return now * 1_000 + useWorld((world) => world.offsetUs);
}
