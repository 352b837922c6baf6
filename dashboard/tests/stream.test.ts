import { describe, expect, it } from "vitest";

import type { Snapshot, StreamEvent } from "../src/contract/events";
import { type Effect, REMEMBERED, StreamCore, TIMING } from "../src/stream/core";

const T0 = 1_000_000;

function said(...elements: readonly object[]): string {
  return JSON.stringify(elements);
}

function welcome(epoch = "a", seq = 0): object {
  return { type: "Welcome", epoch, seq, types: [] };
}

function snapshot(seq: number, epoch = "a", gap = false): object {
  const totals = { trades: 0, energy_wh: 0, paid_micro: 0, settled: 0, settled_micro: 0 };
  return { type: "Snapshot", epoch, seq, time_us: 1, gap, batteries: [], aggregators: [], metrics: [], lots: [], trades: [], totals };
}

function event(seq: number, id: string | null = null): object {
  return { type: "EnergyDepleted", epoch: "a", seq, id, node: "101", time_us: seq, market_us: seq, stored_wh: 1 };
}

function verbs(effects: readonly Effect[]): readonly string[] {
  return effects.filter((effect) => effect.do === "send").map((effect) => effect.verb.verb);
}

function seqs(effects: readonly Effect[]): readonly number[] {
  return effects.filter((effect) => effect.do === "events").flatMap((effect) => effect.events.map((one: StreamEvent) => one.seq));
}

function kinds(effects: readonly Effect[]): readonly string[] {
  return effects.map((effect) => effect.do);
}

/** A core that is live at this sequence number. */
function live(seq = 10, jitter = 0): StreamCore {
  const core = new StreamCore(() => jitter);
  core.start(T0);
  core.opened(T0);
  core.received(said(welcome()), T0);
  core.received(said(snapshot(seq)), T0);
  return core;
}

function again(core: StreamCore, hello: object): readonly Effect[] {
  core.closed(T0);
  core.due(T0);
  core.opened(T0);
  return core.received(said(hello), T0);
}

describe("the stream's client", () => {
  it("subscribes to everything and takes a snapshot", () => {
    const core = new StreamCore(() => 0);
    expect(core.start(T0)).toEqual([{ do: "connect", afterMs: 0 }]);
    core.opened(T0);
    expect(verbs(core.received(said(welcome()), T0))).toEqual(["subscribe", "request_snapshot"]);
    expect(core.phase).toBe("greeting");
    const effects = core.received(said(snapshot(7)), T0);
    expect(kinds(effects)).toEqual(["snapshot"]);
    expect([core.phase, core.epoch, core.seq]).toEqual(["live", "a", 7]);
  });

  it("delivers what is newer than the snapshot, once", () => {
    const core = live(10);
    expect(seqs(core.received(said(event(9), event(10), event(11), event(13)), T0))).toEqual([11, 13]);
    expect(seqs(core.received(said(event(11), event(13), event(14)), T0))).toEqual([14]);
  });

  it("leaves out a durable event that comes again under another number", () => {
    const core = live(10);
    expect(seqs(core.received(said(event(11, "101/5"), event(12, "101/5"), event(13, "101/6")), T0))).toEqual([11, 13]);
    expect(core.seq).toBe(13);
  });

  it("remembers a bounded number of ids, the newest", () => {
    const core = live(0);
    for (let seq = 1; seq <= REMEMBERED + 1; seq += 1) core.received(said(event(seq, `x/${seq}`)), T0);
    const next = REMEMBERED + 2;
    expect(seqs(core.received(said(event(next, "x/1"), event(next + 1, `x/${REMEMBERED + 1}`)), T0))).toEqual([next]);
  });

  it("resumes behind the last event after a lost connection", () => {
    const core = live(10);
    core.received(said(event(12)), T0);
    const effects = again(core, welcome("a", 20));
    expect(effects).toEqual([{ do: "send", verb: { verb: "resume", epoch: "a", seq: 12 } }]);
    const resumed = core.received(said({ type: "Resumed", epoch: "a", seq: 12, gap: false, telemetry_gap: false }, event(13)), T0);
    expect(kinds(resumed)).toEqual(["events"]);
    expect(core.phase).toBe("live");
  });

  it("asks for a snapshot where telemetry is missing, so that no status stays old", () => {
    const core = live(10);
    again(core, welcome("a", 20));
    expect(verbs(core.received(said({ type: "Resumed", epoch: "a", seq: 10, gap: false, telemetry_gap: true }), T0))).toEqual(["request_snapshot"]);
  });

  it("reads REST again where events were lost, and goes on behind the snapshot", () => {
    const core = live(10);
    again(core, welcome("a", 20_000));
    expect(kinds(core.received(said({ type: "Resumed", epoch: "a", seq: 9_000, gap: true, telemetry_gap: true }), T0))).toEqual(["refetch"]);
    expect(kinds(core.received(said(snapshot(20_000, "a", true), event(20_001)), T0))).toEqual(["snapshot", "refetch", "events"]);
    expect(core.seq).toBe(20_001);
  });

  it("takes a snapshot that nobody asked for: it had read too slowly", () => {
    const core = live(10);
    expect(kinds(core.received(said(snapshot(500, "a", true)), T0))).toEqual(["snapshot", "refetch"]);
  });

  it("begins anew at another store, and remembers nothing of the old one", () => {
    const core = live(10);
    core.received(said(event(11, "101/1")), T0);
    expect(verbs(again(core, welcome("b", 3)))).toEqual(["subscribe", "request_snapshot"]);
    expect(kinds(core.received(said(snapshot(3, "b")), T0))).toEqual(["snapshot", "refetch"]);
    expect(seqs(core.received(said(event(4, "101/1")), T0))).toEqual([4]);
  });

  it("backs off, doubling to a bound, with jitter over the upper half", () => {
    const waits = (jitter: number) => {
      const core = live(10, jitter);
      return Array.from({ length: 9 }, () => {
        const [effect] = core.closed(T0);
        core.due(T0);
        return effect?.do === "connect" ? effect.afterMs : -1;
      });
    };
    expect(waits(0)).toEqual([250, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500, 7_500]);
    expect(waits(0.999).at(-1)).toBeGreaterThan(14_900);
    expect(Math.max(...waits(0.999))).toBeLessThanOrEqual(TIMING.longestWaitMs);
  });

  it("starts the back-off over once it was live again", () => {
    const core = live(10);
    for (let failure = 0; failure < 5; failure += 1) {
      core.closed(T0);
      core.due(T0);
    }
    core.opened(T0);
    core.received(said(welcome()), T0);
    core.received(said({ type: "Resumed", epoch: "a", seq: 10, gap: false, telemetry_gap: false }), T0);
    expect(core.closed(T0)).toEqual([{ do: "connect", afterMs: 250 }]);
  });

  it("plans one attempt, however often it is told that the socket is gone", () => {
    const core = live(10);
    expect(core.closed(T0)).toHaveLength(1);
    expect(core.closed(T0)).toEqual([]);
  });

  it("goes at once when the network is back, but only while it waits", () => {
    const core = live(10);
    expect(core.start(T0)).toEqual([]);
    core.closed(T0);
    expect(core.start(T0)).toEqual([{ do: "connect", afterMs: 0 }]);
  });

  it("asks after a silence, and gives a connection up that does not answer", () => {
    const core = live(10);
    expect(core.tick(T0 + TIMING.quietMs)).toEqual([]);
    const asked = T0 + TIMING.quietMs + 1;
    expect(verbs(core.tick(asked))).toEqual(["request_snapshot"]);
    expect(core.tick(asked + TIMING.answerMs)).toEqual([]);
    expect(core.tick(asked + TIMING.answerMs + 1)).toEqual([{ do: "close" }]);
  });

  it("is content with any answer to its question", () => {
    const core = live(10);
    const asked = T0 + TIMING.quietMs + 1;
    core.tick(asked);
    core.received(said(snapshot(11)), asked + 1);
    expect(core.tick(asked + TIMING.answerMs + 1)).toEqual([]);
  });

  it("gives up on a socket that never opens or never greets", () => {
    const core = new StreamCore(() => 0);
    core.start(T0);
    expect(core.tick(T0 + TIMING.answerMs + 1)).toEqual([{ do: "close" }]);
    core.opened(T0 + 1);
    expect(core.tick(T0 + 1 + TIMING.answerMs)).toEqual([]);
    expect(core.tick(T0 + 2 + TIMING.answerMs)).toEqual([{ do: "close" }]);
  });

  it.each(["", "{}", "[", "null", "[1]", '[{"seq":1}]', '["x"]', "[null]"])("closes on %j, which is no message of the stream", (text) => {
    expect(live(10).received(text, T0)).toEqual([{ do: "close" }]);
  });

  it("keeps events of a type that it does not know: a newer gateway is no error", () => {
    const core = live(10);
    expect(seqs(core.received(said({ ...event(11), type: "SomethingNew" }), T0))).toEqual([11]);
  });

  it("keeps the gateway's refusal of a verb", () => {
    const core = live(10);
    core.received(said({ type: "Error", reason: "no such type" }), T0);
    expect([core.refusal, core.phase]).toEqual(["no such type", "live"]);
  });

  it("delivers in order around a snapshot in the middle of a message", () => {
    const core = live(10);
    const effects = core.received(said(event(11), snapshot(20), event(20), event(21)), T0);
    expect(kinds(effects)).toEqual(["events", "snapshot", "refetch", "events"]);
    expect(seqs(effects)).toEqual([11, 21]);
    expect(effects.find((effect): effect is { do: "snapshot"; snapshot: Snapshot } => effect.do === "snapshot")?.snapshot.seq).toBe(20);
  });
});
