/** What REST answers, as `gateway/schema.py` declares it. The same names and units as in the stream. */

import type { Id } from "./events";

export interface Page<T> {
  readonly items: readonly T[];
  readonly next_cursor: string | null;
}

export interface Problem {
  readonly title: string;
  readonly status: number;
  readonly detail: string;
}

export interface Node {
  readonly device_id: Id;
  readonly online: boolean;
  readonly proven: boolean;
  readonly key: string | null;
  readonly first_seen_us: number;
  readonly last_seen_us: number;
  readonly rows: number;
}

export interface Battery extends Node {
  readonly mechanism: string;
  readonly capacity_wh: number;
  readonly feed_in_micro_per_kwh: number | null;
  readonly stored_wh: number | null;
  readonly for_sale_wh: number | null;
  readonly reserved_wh: number | null;
  readonly to_deliver_wh: number | null;
  readonly health: string | null;
  readonly failure: string | null;
  readonly status_us: number | null;
  readonly market_us: number | null;
  readonly trades: number;
  readonly sold_wh: number;
  readonly earned_micro: number;
  readonly settled_micro: number;
}

export interface Aggregator extends Node {
  readonly strategy: string;
  readonly demand_wh: number;
  readonly bought_wh: number | null;
  readonly exposed_wh: number | null;
  readonly status_us: number | null;
  readonly market_us: number | null;
  readonly trades: number;
  readonly paid_micro: number;
  readonly lots_bid: number;
  readonly lots_won: number;
}

export interface Sample {
  readonly time_us: number;
  readonly market_us: number;
  readonly stored_wh: number;
  readonly for_sale_wh: number;
  readonly reserved_wh: number;
  readonly to_deliver_wh: number;
}

export interface Lot {
  readonly battery: Id;
  readonly lot_id: Id;
  readonly mechanism: string;
  readonly state: "reserved" | "void";
  readonly energy_wh: number;
  readonly reserve_micro_per_kwh: number | null;
  readonly opened_us: number;
  readonly closed_us: number;
  readonly market_us: number;
  readonly bids: number;
  readonly bidders: number;
  readonly first_micro_per_kwh: number | null;
  readonly setter: Id | null;
  readonly setter_micro_per_kwh: number | null;
  readonly capped: boolean;
  readonly digest: string;
}

export interface Bid {
  readonly bidder: Id;
  readonly message_id: Id;
  readonly energy_wh: number;
  readonly price_micro_per_kwh: number;
  readonly state: string;
  readonly time_us: number;
}

export interface LotDetail extends Lot {
  readonly progress: readonly Bid[];
  readonly trades: readonly Trade[];
}

export interface Trade {
  readonly battery: Id;
  readonly lot_id: Id;
  readonly auction_id: Id;
  readonly aggregator: Id;
  readonly time_us: number;
  readonly market_us: number;
  readonly energy_wh: number;
  readonly price_micro_per_kwh: number;
  readonly bid_micro_per_kwh: number;
  readonly paid_micro: number;
  readonly bidders: number | null;
  readonly first_micro_per_kwh: number | null;
  readonly feed_in_micro_per_kwh: number | null;
  readonly settlement: string | null;
  readonly delivery: "pending" | "delivered" | "short";
  readonly delivered_wh: number | null;
  readonly signature: string | null;
}

export type FrameRole = "bid" | "price_setter" | "accept" | "confirm" | "answer";

export interface TradeFrame {
  readonly what: FrameRole;
  readonly by: Id;
  readonly raw: string;
  readonly key: string | null;
}

export interface Evidence {
  readonly node: Id;
  readonly seq: number;
  readonly hash: string;
  readonly kind: string;
  readonly state: string;
  readonly time_us: number;
  readonly body: Readonly<Record<string, number | string | boolean | null>>;
}

export interface TradeDetail extends Trade {
  readonly network_id: string | null;
  readonly frames: readonly TradeFrame[];
  readonly rows: readonly Evidence[];
}

export interface Sums {
  readonly trades: number;
  readonly energy_wh: number;
  readonly paid_micro: number;
  readonly price_micro_per_kwh: number | null;
  readonly feed_in_micro_per_kwh: number | null;
  readonly first_micro_per_kwh: number | null;
}

export interface Group extends Sums {
  readonly key: string;
  readonly low_micro_per_kwh: number | null;
  readonly high_micro_per_kwh: number | null;
}

export type GroupBy = "all" | "hour" | "hour_of_day" | "battery" | "aggregator" | "bidders";

export interface Statistics {
  readonly by: GroupBy;
  readonly total: Sums;
  readonly groups: readonly Group[];
}

export interface LatencyRow {
  readonly what: "age" | "reply";
  readonly message: string;
  readonly node: Id | null;
  readonly budget_ms: number;
  readonly count: number;
  readonly over_budget: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly worst_ms: number;
}

export interface StoredEvent {
  readonly seq: number;
  readonly type: string;
  readonly node: Id;
  readonly time_us: number;
  readonly market_us: number;
  readonly event: Readonly<Record<string, unknown>>;
}

export interface Overview {
  readonly version: string;
  readonly epoch: string;
  readonly seq: number;
  readonly batteries: number;
  readonly batteries_online: number;
  readonly aggregators: number;
  readonly aggregators_online: number;
  readonly lots: number;
  readonly trades: number;
  readonly sold_wh: number;
  readonly paid_micro: number;
  readonly settled: number;
  readonly settled_micro: number;
  readonly unsettled: number;
  readonly security_events: number;
  readonly network_id: string | null;
}

export interface Me {
  readonly name: string;
  readonly role: "viewer" | "admin";
  readonly via: "session" | "api_key" | "open";
}
