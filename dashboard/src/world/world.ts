/**
 * What is true now, as the stream tells it: pure functions from a world and news to the next world. Slices that did not change
 * stay the same objects, so that what shows them is not drawn again. Every list and map has a bound.
 */

import type {
  AggregatorStatus,
  AuctionCompleted,
  BESSNodeStatus,
  Id,
  LotVoided,
  OpenLot,
  Snapshot,
  StreamEvent,
  SystemMetrics,
  Totals,
  TradeConfirmed,
} from "../contract/events";
import { isReplay } from "../text/time";

/** The newest are kept; older ones are in the store, which REST reads. */
export const BOUNDS = { events: 400, trades: 300, lots: 2_000, steps: 120, ended: 200, nodes: 4_000 } as const;

/** A moment of an open lot's bidding, as it was told. */
export interface Step {
  readonly time_us: number;
  readonly micro_per_kwh: number;
}

export interface LiveLot extends OpenLot {
  readonly steps: readonly Step[];
}

export interface LiveTrade extends TradeConfirmed {
  /** null: its market is on no chain; undefined: nothing was heard of it yet. */
  readonly settlement: string | null | undefined;
  readonly delivery: "pending" | "delivered" | "short";
}

/** Counts news by what they make old: a page that shows such a list reads it again. */
export interface Signals {
  readonly lots: number;
  readonly trades: number;
  readonly settlements: number;
  readonly security: number;
  readonly metrics: number;
  readonly nodes: number;
}

export interface World {
  readonly batteries: ReadonlyMap<Id, BESSNodeStatus>;
  readonly aggregators: ReadonlyMap<Id, AggregatorStatus>;
  readonly metrics: ReadonlyMap<Id, SystemMetrics>;
  readonly lots: ReadonlyMap<string, LiveLot>;
  readonly ended: ReadonlyMap<string, AuctionCompleted | LotVoided>;
  /** Newest first. */
  readonly trades: readonly LiveTrade[];
  /** Newest first. */
  readonly events: readonly StreamEvent[];
  readonly totals: Totals | null;
  readonly signals: Signals;
  /** Market time of the newest news, µs; null: none yet. */
  readonly marketUs: number | null;
  readonly replay: boolean;
  /** Gateway's clock − ours, µs. */
  readonly offsetUs: number;
}

export const EMPTY: World = {
  batteries: new Map(),
  aggregators: new Map(),
  metrics: new Map(),
  lots: new Map(),
  ended: new Map(),
  trades: [],
  events: [],
  totals: null,
  signals: { lots: 0, trades: 0, settlements: 0, security: 0, metrics: 0, nodes: 0 },
  marketUs: null,
  replay: false,
  offsetUs: 0,
};

/** The name of a lot or trade: a lot_id is its battery's own. */
export function keyOf(battery: Id, lot: Id): string {
  return `${battery}/${lot}`;
}

/** The world of a snapshot. What it does not hold (older trades, events) stays. */
export function fromSnapshot(world: World, snapshot: Snapshot, nowUs: number): World {
  const lots = snapshot.lots.map((lot): [string, LiveLot] => {
    const key = keyOf(lot.battery, lot.lot_id);
    const known = world.lots.get(key);
    const step = { time_us: snapshot.time_us, micro_per_kwh: lot.standing_micro_per_kwh ?? 0 };
    const steps = known?.steps ?? (lot.standing_micro_per_kwh === null ? [] : [step]);
    return [key, { ...lot, steps }];
  });
  const older = new Map(world.trades.map((trade) => [keyOf(trade.node, trade.lot_id), trade]));
  const fresh = snapshot.trades.map((trade) => {
    const known = older.get(keyOf(trade.node, trade.lot_id));
    older.delete(keyOf(trade.node, trade.lot_id));
    return known ?? { ...trade, settlement: undefined, delivery: "pending" as const };
  });
  const newest = [...snapshot.batteries, ...snapshot.trades].reduce<StreamEvent | null>(newer, null);
  return {
    ...world,
    batteries: new Map(snapshot.batteries.slice(0, BOUNDS.nodes).map((status) => [status.node, status])),
    aggregators: new Map(snapshot.aggregators.slice(0, BOUNDS.nodes).map((status) => [status.node, status])),
    metrics: new Map(snapshot.metrics.slice(0, BOUNDS.nodes).map((status) => [status.node, status])),
    lots: new Map(lots.slice(0, BOUNDS.lots)),
    trades: [...fresh, ...older.values()].toSorted((a, b) => b.time_us - a.time_us).slice(0, BOUNDS.trades),
    totals: snapshot.totals,
    offsetUs: snapshot.time_us - nowUs,
    ...(newest === null ? {} : { marketUs: newest.market_us, replay: isReplay(newest.market_us, newest.time_us) }),
  };
}

function newer(one: StreamEvent | null, other: StreamEvent): StreamEvent {
  return one === null || other.time_us > one.time_us ? other : one;
}

/** The world after news. */
export function afterEvents(world: World, events: readonly StreamEvent[]): World {
  const draft = new Draft(world);
  for (const event of events) draft.take(event);
  return draft.done(events);
}

type Slice = "batteries" | "aggregators" | "metrics" | "lots" | "ended";

/** Copies a slice when it is first written. */
class Draft {
  readonly #before: World;
  readonly #maps = new Map<Slice, Map<string, unknown>>();
  readonly #signals: Record<keyof Signals, number>;
  /** That a payment is due stands before its trade in the transaction that makes both. */
  readonly #early = new Map<string, string>();
  #trades: readonly LiveTrade[];
  #totals: Totals | null;

  constructor(world: World) {
    this.#before = world;
    this.#trades = world.trades;
    this.#totals = world.totals;
    this.#signals = { ...world.signals };
  }

  take(event: StreamEvent): void {
    switch (event.type) {
      case "BESSNodeStatus":
        return this.#status("batteries", event);
      case "AggregatorStatus":
        return this.#status("aggregators", event);
      case "SystemMetrics":
        this.#signals.metrics += 1;
        return this.#status("metrics", event);
      case "AuctionStarted":
        return this.#opened(event);
      case "LotUpdated":
        return this.#updated(event);
      case "AuctionCompleted":
      case "LotVoided":
        return this.#closed(event);
      case "TradeConfirmed":
        return this.#traded(event);
      case "SettlementUpdated":
        return this.#settled(event.node, event.lot_id, event.state);
      case "TradeSettled":
        this.#paid(event.amount_micro);
        return this.#settled(event.node, event.lot_id, "settled");
      case "EnergyDelivered":
        return this.#trade(event.node, event.lot_id, { delivery: event.short ? "short" : "delivered" });
      case "SecurityEvent":
        this.#signals.security += 1;
        return;
      default:
        return; // shown in the drawer, and nowhere kept
    }
  }

  done(events: readonly StreamEvent[]): World {
    const newest = events.reduce<StreamEvent | null>(newer, null);
    const moved = newest !== null && newest.market_us > 0;
    const fresh = events.slice(-BOUNDS.events).reverse();
    return {
      ...this.#before,
      ...(Object.fromEntries(this.#maps) as Partial<World>),
      trades: this.#trades,
      totals: this.#totals,
      signals: this.#signals,
      events: [...fresh, ...this.#before.events.slice(0, BOUNDS.events - fresh.length)],
      ...(moved ? { marketUs: newest.market_us, replay: isReplay(newest.market_us, newest.time_us) } : {}),
    };
  }

  #map<V>(slice: Slice): Map<string, V> {
    const known = this.#maps.get(slice);
    if (known !== undefined) return known as Map<string, V>;
    const copy = new Map<string, unknown>(this.#before[slice]);
    this.#maps.set(slice, copy);
    return copy as Map<string, V>;
  }

  #put(slice: Slice, key: string, value: unknown, most: number): void {
    const map = this.#map<unknown>(slice);
    map.set(key, value);
    if (map.size > most) {
      const oldest = map.keys().next();
      if (oldest.done !== true) map.delete(oldest.value);
    }
  }

  #status(slice: "batteries" | "aggregators" | "metrics", event: BESSNodeStatus | AggregatorStatus | SystemMetrics): void {
    const known = (this.#maps.get(slice) ?? this.#before[slice]).get(event.node) as { online: boolean } | undefined;
    if (known?.online !== event.online) this.#signals.nodes += 1;
    this.#put(slice, event.node, event, BOUNDS.nodes);
  }

  #opened(event: Extract<StreamEvent, { type: "AuctionStarted" }>): void {
    const lot: LiveLot = {
      battery: event.node,
      lot_id: event.lot_id,
      mechanism: event.mechanism,
      energy_wh: event.energy_wh,
      reserve_micro_per_kwh: event.reserve_micro_per_kwh,
      ask_micro_per_kwh: event.reserve_micro_per_kwh,
      standing_micro_per_kwh: null,
      bidders: null,
      opened_us: event.time_us,
      closes_us: null,
      steps: [],
    };
    this.#signals.lots += 1;
    this.#put("lots", keyOf(event.node, event.lot_id), lot, BOUNDS.lots);
  }

  #updated(event: Extract<StreamEvent, { type: "LotUpdated" }>): void {
    const key = keyOf(event.node, event.lot_id);
    const lot = ((this.#maps.get("lots") ?? this.#before.lots) as ReadonlyMap<string, LiveLot>).get(key);
    if (lot === undefined) return; // closed in the meantime, or opened before the snapshot that is on its way
    const standing = event.standing_micro_per_kwh;
    const rose = standing !== null && standing !== lot.standing_micro_per_kwh;
    const steps = rose ? [...lot.steps, { time_us: event.time_us, micro_per_kwh: standing }].slice(-BOUNDS.steps) : lot.steps;
    const { energy_wh, ask_micro_per_kwh, standing_micro_per_kwh, bidders, closes_us } = event;
    this.#map<LiveLot>("lots").set(key, { ...lot, energy_wh, ask_micro_per_kwh, standing_micro_per_kwh, bidders, closes_us, steps });
  }

  #closed(event: AuctionCompleted | LotVoided): void {
    const key = keyOf(event.node, event.lot_id);
    this.#map("lots").delete(key);
    this.#signals.lots += 1;
    this.#put("ended", key, event, BOUNDS.ended);
  }

  #traded(event: TradeConfirmed): void {
    const { trades, energy_wh, paid_micro, ...rest } = this.#totals ?? { trades: 0, energy_wh: 0, paid_micro: 0, settled: 0, settled_micro: 0 };
    this.#totals = { ...rest, trades: trades + 1, energy_wh: energy_wh + event.energy_wh, paid_micro: paid_micro + event.paid_micro };
    this.#signals.trades += 1;
    const settlement = this.#early.get(keyOf(event.node, event.lot_id));
    this.#trades = [{ ...event, settlement, delivery: "pending" as const }, ...this.#trades].slice(0, BOUNDS.trades);
  }

  #settled(battery: Id, lot: Id, settlement: string): void {
    this.#signals.settlements += 1;
    this.#early.set(keyOf(battery, lot), settlement);
    this.#trade(battery, lot, { settlement });
  }

  #paid(amount: number): void {
    if (this.#totals === null) return;
    const { settled, settled_micro } = this.#totals;
    this.#totals = { ...this.#totals, settled: settled + 1, settled_micro: settled_micro + amount };
  }

  #trade(battery: Id, lot: Id, change: Partial<Pick<LiveTrade, "settlement" | "delivery">>): void {
    const at = this.#trades.findIndex((trade) => trade.node === battery && trade.lot_id === lot);
    const known = this.#trades[at];
    if (known !== undefined) this.#trades = this.#trades.with(at, { ...known, ...change });
  }
}
