/** The one world of this page, and the hooks that read it. */

import { useSyncExternalStore } from "react";

import { openStream } from "../stream/client";
import type { Phase } from "../stream/core";
import { EMPTY, type World, afterEvents, fromSnapshot } from "./world";

export interface Connection {
  readonly phase: Phase;
  /** Whether anything was ever shown live. */
  readonly known: boolean;
  readonly heardMs: number | null;
  readonly nextMs: number | null;
  /** When the connection was lost, ms; null: it is there. */
  readonly lostMs: number | null;
  /** Rises when what REST answered before may be old. */
  readonly generation: number;
}

let world: World = EMPTY;
let connection: Connection = { phase: "waiting", known: false, heardMs: null, nextMs: null, lostMs: null, generation: 0 };
const readers = new Set<() => void>();

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  return () => readers.delete(reader);
}

function changed(): void {
  for (const reader of readers) reader();
}

function setWorld(next: World): void {
  world = next;
  changed();
}

function setConnection(change: Partial<Connection>): void {
  const next = { ...connection, ...change };
  const keys = Object.keys(next) as (keyof Connection)[];
  if (keys.every((key) => next[key] === connection[key])) return;
  connection = next;
  changed();
}

/** Part of the world: read again when it is another object. */
export function useWorld<T>(select: (world: World) => T): T {
  return useSyncExternalStore(subscribe, () => select(world));
}

/** Calls `reader` with each next world, until what it returns is called. */
export function watchWorld(reader: (world: World) => void): () => void {
  return subscribe(() => reader(world));
}

/** Part of the connection's state. */
export function useConnection<T>(select: (connection: Connection) => T): T {
  return useSyncExternalStore(subscribe, () => select(connection));
}

/** Opens the stream; `failing` is called when attempts fail one after another. Returns how to end it. */
export function connectWorld(failing: () => void): () => void {
  const { protocol, host } = window.location;
  const stream = openStream(`${protocol === "https:" ? "wss" : "ws"}://${host}/ws`, {
    snapshot: (snapshot) => setWorld(fromSnapshot(world, snapshot, Date.now() * 1_000)),
    events: (events) => setWorld(afterEvents(world, events)),
    refetch: () => setConnection({ generation: connection.generation + 1 }),
    changed: (core) => {
      const live = core.phase === "live";
      setConnection({
        phase: core.phase,
        known: connection.known || live,
        // Each message moves it; nobody draws it while live, so it is kept from changing the state then.
        heardMs: live ? connection.heardMs : core.heardMs,
        nextMs: core.nextMs,
        lostMs: live ? null : (connection.lostMs ?? Date.now()),
      });
    },
    failing,
  });
  return () => {
    stream.stop();
    world = EMPTY;
    connection = { ...connection, phase: "waiting", known: false, heardMs: null, lostMs: null };
    changed();
  };
}
