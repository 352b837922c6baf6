import { describe, expect, it } from "vitest";

import type { BESSNodeStatus, Snapshot, StreamEvent, TradeConfirmed } from "../src/contract/events";
import { describe as describeEvent } from "../src/text/describe";
import { fromCsv, thinned } from "../src/text/samples";
import { merged } from "../src/ui/merge";
import { BOUNDS, EMPTY, type World, afterEvents, fromSnapshot, keyOf } from "../src/world/world";

let seq = 0;

function base(time_us: number, node = "101") {
  seq += 1;
  return { epoch: "a", seq, id: null, node, time_us, market_us: time_us };
}

function started(lot_id: string, time_us = 10, mechanism = "english"): StreamEvent {
  return { ...base(time_us), type: "AuctionStarted", lot_id, mechanism, energy_wh: 1_000, reserve_micro_per_kwh: 100_000 };
}

function updated(lot_id: string, standing: number | null, time_us: number): StreamEvent {
  return {
    ...base(time_us),
    type: "LotUpdated",
    lot_id,
    energy_wh: 1_000,
    ask_micro_per_kwh: (standing ?? 100_000) + 500,
    standing_micro_per_kwh: standing,
    bidders: standing === null ? 0 : 2,
    closes_us: time_us + 1_000,
  };
}

function completed(lot_id: string, time_us = 20): StreamEvent {
  return {
    ...base(time_us),
    type: "AuctionCompleted",
    lot_id,
    mechanism: "english",
    energy_wh: 1_000,
    reserve_micro_per_kwh: 100_000,
    opened_us: 10,
    bids: 3,
    bidders: 2,
    capped: false,
    setter: "500",
    setter_micro_per_kwh: 110_000,
  };
}

function traded(lot_id: string, time_us = 30): TradeConfirmed {
  return {
    ...base(time_us),
    type: "TradeConfirmed",
    lot_id,
    auction_id: lot_id,
    aggregator: "500",
    message_id: "1",
    energy_wh: 1_000,
    price_micro_per_kwh: 110_000,
    bid_micro_per_kwh: 110_000,
    paid_micro: 110_000,
    bidders: 2,
    first_micro_per_kwh: null,
    feed_in_micro_per_kwh: 60_000,
  };
}

function status(node: string, online = true, time_us = 5, market_us = time_us): BESSNodeStatus {
  return {
    ...base(time_us, node),
    market_us,
    type: "BESSNodeStatus",
    online,
    mechanism: "english",
    capacity_wh: 13_500,
    stored_wh: 6_000,
    for_sale_wh: 1_000,
    reserved_wh: 0,
    to_deliver_wh: 0,
    health: "good",
    voltage_mv: 48_000,
    discharge_w: 0,
    temperature_mc: null,
    failure: null,
    sessions: 1,
    unsettled: null,
    oldest_unsettled_us: null,
  };
}

function snapshot(change: Partial<Snapshot> = {}): Snapshot {
  const totals = { trades: 5, energy_wh: 5_000, paid_micro: 500_000, settled: 4, settled_micro: 400_000 };
  return { type: "Snapshot", epoch: "a", seq: 0, time_us: 1_000, gap: false, batteries: [], aggregators: [], metrics: [], lots: [], trades: [], totals, ...change };
}

function after(...events: readonly StreamEvent[]): World {
  return afterEvents(EMPTY, events);
}

describe("the world", () => {
  it("follows a lot from its opening to its end", () => {
    const open = after(started("7"), updated("7", 105_000, 12), updated("7", 110_000, 14));
    const lot = open.lots.get("101/7");
    expect(lot?.standing_micro_per_kwh).toBe(110_000);
    expect(lot?.steps).toEqual([
      { time_us: 12, micro_per_kwh: 105_000 },
      { time_us: 14, micro_per_kwh: 110_000 },
    ]);
    const closed = afterEvents(open, [completed("7")]);
    expect(closed.lots.size).toBe(0);
    expect(closed.ended.has("101/7")).toBe(true);
  });

  it("shows nothing of a sealed lot's bidding", () => {
    const world = after(started("7", 10, "vickrey"), updated("7", null, 12));
    expect(world.lots.get("101/7")).toMatchObject({ standing_micro_per_kwh: null, steps: [] });
  });

  it("does not open a closed lot again by a late update", () => {
    expect(after(started("7"), completed("7"), updated("7", 105_000, 15)).lots.size).toBe(0);
  });

  it("keeps lots of two batteries apart", () => {
    const world = after(started("7"), { ...started("7"), node: "102" });
    expect([...world.lots.keys()]).toEqual(["101/7", "102/7"]);
  });

  it("adds trades to the totals and carries their payment and delivery", () => {
    const before = fromSnapshot(EMPTY, snapshot(), 0);
    const world = afterEvents(before, [
      traded("7"),
      { ...base(31), type: "SettlementUpdated", lot_id: "7", aggregator: "500", amount_micro: 110_000, state: "settling", reason: "" },
      { ...base(32), type: "TradeSettled", lot_id: "7", aggregator: "500", amount_micro: 110_000, signature: "x" },
      { ...base(33), type: "EnergyDelivered", lot_id: "7", aggregator: "500", energy_wh: 1_000, delivered_wh: 900, short: true },
    ]);
    expect(world.totals).toEqual({ trades: 6, energy_wh: 6_000, paid_micro: 610_000, settled: 5, settled_micro: 510_000 });
    expect(world.trades[0]).toMatchObject({ settlement: "settled", delivery: "short" });
    expect(world.signals).toMatchObject({ trades: 1, settlements: 2 });
  });

  it("knows a payment that is told before its trade, and does not say what it has not heard", () => {
    const due: StreamEvent = { ...base(29), type: "SettlementUpdated", lot_id: "7", aggregator: "500", amount_micro: 110_000, state: "confirmed", reason: "" };
    expect(after(due, traded("7")).trades[0]?.settlement).toBe("confirmed");
    expect(after(due, traded("8")).trades[0]?.settlement).toBeUndefined();
    expect(merged([], after(traded("8")).trades, 5)[0]?.settlement).toBeUndefined();
  });

  it("leaves slices alone that did not change", () => {
    const before = after(status("101"), started("7"));
    const world = afterEvents(before, [traded("7")]);
    expect(world.batteries).toBe(before.batteries);
    expect(world.lots).toBe(before.lots);
    expect(before.trades).toEqual([]);
  });

  it("counts a node that comes or goes, not each of its words", () => {
    const one = after(status("101"), status("101"), status("101"));
    expect(one.signals.nodes).toBe(1);
    expect(afterEvents(one, [status("101", false)]).signals.nodes).toBe(2);
  });

  it("takes what a snapshot says, keeps the rise of open lots and the states of trades", () => {
    const before = after(started("7"), updated("7", 105_000, 12), started("8"), traded("6"), {
      ...base(32),
      type: "TradeSettled",
      lot_id: "6",
      aggregator: "500",
      amount_micro: 1,
      signature: "x",
    });
    const lot = { battery: "101", lot_id: "7", mechanism: "english", energy_wh: 1, reserve_micro_per_kwh: 1, ask_micro_per_kwh: 1, standing_micro_per_kwh: 105_000, bidders: 1, opened_us: 10, closes_us: null };
    const world = fromSnapshot(before, snapshot({ lots: [lot], trades: [traded("6")] }), 400);
    expect([...world.lots.keys()]).toEqual(["101/7"]);
    expect(world.lots.get("101/7")?.steps).toHaveLength(1);
    expect(world.trades).toHaveLength(1);
    expect(world.trades[0]?.settlement).toBe("settled");
    expect(world.offsetUs).toBe(600);
  });

  it("tells a replay by market time", () => {
    expect(after(status("101", true, 5_000_000_000, 5_000_000_000)).replay).toBe(false);
    expect(after(status("101", true, 2e15, 1.59e15))).toMatchObject({ replay: true, marketUs: 1.59e15 });
  });

  it("does not grow: ten minutes of 60 events a second leave every list at its bound", () => {
    let world = EMPTY;
    for (let second = 0; second < 600; second += 1) {
      const events = Array.from({ length: 10 }, (_, at): StreamEvent[] => {
        const lot = String(second * 10 + at);
        const time = second * 1_000 + at;
        return [status(String(at), true, time), started(lot, time), updated(lot, 105_000 + at, time), completed(lot, time), traded(lot, time), updated("none", 1, time)];
      });
      world = afterEvents(world, events.flat());
    }
    // Lots that open and are never heard of again: a battery that went away.
    world = afterEvents(world, Array.from({ length: BOUNDS.lots + 50 }, (_, at) => started(`x${at}`)));
    world = afterEvents(world, Array.from({ length: BOUNDS.steps + 50 }, (_, at) => updated(`x${BOUNDS.lots}`, 200_000 + at, at)));
    expect(world.events).toHaveLength(BOUNDS.events);
    expect(world.trades).toHaveLength(BOUNDS.trades);
    expect(world.lots.size).toBe(BOUNDS.lots);
    expect(world.ended.size).toBe(BOUNDS.ended);
    expect(world.lots.get(`101/x${BOUNDS.lots}`)?.steps).toHaveLength(BOUNDS.steps);
    expect(world.batteries.size).toBe(10);
  });

  it("keeps the newest events first", () => {
    const [one, two] = [started("1"), started("2")];
    expect(after(one, two).events.map((event) => event.seq)).toEqual([two.seq, one.seq]);
  });
});

describe("lists of REST and stream together", () => {
  const stored = (lot_id: string, time_us: number) => ({
    ...traded(lot_id, time_us),
    battery: "101",
    settlement: "settled",
    delivery: "delivered" as const,
    delivered_wh: 1_000,
    signature: "x",
  });

  it("have each trade once, the newest first, and no state that goes back", () => {
    const live = after(traded("2", 40), traded("3", 50)).trades;
    const all = merged([stored("2", 40), stored("1", 30)], live, 10);
    expect(all.map((trade) => trade.lot_id)).toEqual(["3", "2", "1"]);
    expect(all[1]).toMatchObject({ settlement: "settled", delivery: "delivered", signature: "x" });
    expect(merged([stored("2", 40)], live, 1)).toHaveLength(1);
  });

  it("name a trade by its battery and its lot", () => {
    expect(keyOf("101", "7")).toBe("101/7");
  });
});

describe("samples", () => {
  it("are read from CSV by the names of its columns", () => {
    const csv = "market_us,time_us,stored_wh,for_sale_wh,reserved_wh,to_deliver_wh\r\n2,1,3,4,5,6\r\n";
    expect(fromCsv(csv)).toEqual([{ time_us: 1, market_us: 2, stored_wh: 3, for_sale_wh: 4, reserved_wh: 5, to_deliver_wh: 6 }]);
    expect(() => fromCsv("time_us\n1\n")).toThrow("no column market_us");
  });

  it("are thinned to measured ones, with both ends", () => {
    const many = Array.from({ length: 1_000 }, (_, at) => at);
    const few = thinned(many, 11);
    expect(few).toHaveLength(11);
    expect([few[0], few.at(-1)]).toEqual([0, 999]);
    expect(few.every((value) => many.includes(value))).toBe(true);
    expect(thinned(few, 20)).toBe(few);
  });
});

describe("a line about an event", () => {
  it("says each type with its units, and nothing of one that it does not know", () => {
    expect(describeEvent(traded("7"))).toBe("1 kWh to 500 at 11.00 c/kWh, 11.00 c");
    expect(describeEvent(started("7"))).toBe("english lot of 1 kWh, reserve 10.00 c/kWh");
    expect(describeEvent({ ...started("7"), type: "Newer" } as unknown as StreamEvent)).toBe("");
    expect(describeEvent({ type: "BidRejected" } as unknown as StreamEvent)).toBe("");
  });

  it("leaves what nodes say as it is: text", () => {
    const event: StreamEvent = { ...base(1), type: "DeviceFailed", failure: "<script>alert(1)</script>" };
    expect(describeEvent(event)).toBe("device failed: <script>alert(1)</script>");
  });
});
