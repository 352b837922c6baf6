/**
 * The stream's events and sayings, as `gateway/events.py` declares them. Ids are u64 in decimal: strings, never numbers.
 * Money (µ), energy (Wh) and times (µs) are integers below 2^53.
 */

export type Id = string;

interface Base {
  readonly epoch: string;
  readonly seq: number;
  /** Of a durable event: the same whenever and wherever it is sent. */
  readonly id: string | null;
  readonly node: Id;
  readonly time_us: number;
  readonly market_us: number;
}

interface BidFacts extends Base {
  readonly lot_id: Id;
  readonly bidder: Id;
  readonly message_id: Id;
  readonly energy_wh: number;
  readonly price_micro_per_kwh: number;
}

export interface AuctionStarted extends Base {
  readonly type: "AuctionStarted";
  readonly lot_id: Id;
  readonly mechanism: string;
  readonly energy_wh: number;
  readonly reserve_micro_per_kwh: number | null;
}

export interface LotUpdated extends Base {
  readonly type: "LotUpdated";
  readonly lot_id: Id;
  readonly energy_wh: number;
  readonly ask_micro_per_kwh: number | null;
  readonly standing_micro_per_kwh: number | null;
  readonly bidders: number | null;
  readonly closes_us: number | null;
}

export interface BidPlaced extends BidFacts {
  readonly type: "BidPlaced";
}

export interface BidRejected extends BidFacts {
  readonly type: "BidRejected";
  readonly code: string;
}

export interface AuctionCompleted extends Base {
  readonly type: "AuctionCompleted";
  readonly lot_id: Id;
  readonly mechanism: string;
  readonly energy_wh: number;
  readonly reserve_micro_per_kwh: number | null;
  readonly opened_us: number;
  readonly bids: number;
  readonly bidders: number;
  readonly capped: boolean;
  readonly setter: Id | null;
  readonly setter_micro_per_kwh: number | null;
}

export interface LotVoided extends Base {
  readonly type: "LotVoided";
  readonly lot_id: Id;
  readonly mechanism: string;
  readonly energy_wh: number;
  readonly opened_us: number;
  readonly bids: number;
  readonly bidders: number;
}

export interface BidAccepted extends BidFacts {
  readonly type: "BidAccepted";
  readonly auction_id: Id;
  readonly bid_micro_per_kwh: number;
}

export interface ReservationReleased extends Base {
  readonly type: "ReservationReleased";
  readonly lot_id: Id;
  readonly auction_id: Id;
  readonly bidder: Id;
  readonly energy_wh: number;
  readonly reason: string;
}

export interface TradeConfirmed extends Base {
  readonly type: "TradeConfirmed";
  readonly lot_id: Id;
  readonly auction_id: Id;
  readonly aggregator: Id;
  readonly message_id: Id;
  readonly energy_wh: number;
  readonly price_micro_per_kwh: number;
  readonly bid_micro_per_kwh: number;
  readonly paid_micro: number;
  readonly bidders: number | null;
  readonly first_micro_per_kwh: number | null;
  readonly feed_in_micro_per_kwh: number | null;
}

export interface SettlementUpdated extends Base {
  readonly type: "SettlementUpdated";
  readonly lot_id: Id;
  readonly aggregator: Id;
  readonly amount_micro: number;
  readonly state: string;
  readonly reason: string;
}

export interface TradeSettled extends Base {
  readonly type: "TradeSettled";
  readonly lot_id: Id;
  readonly aggregator: Id;
  readonly amount_micro: number;
  readonly signature: string;
}

export interface EnergyDelivered extends Base {
  readonly type: "EnergyDelivered";
  readonly lot_id: Id;
  readonly aggregator: Id;
  readonly energy_wh: number;
  readonly delivered_wh: number;
  readonly short: boolean;
}

export interface EnergyDepleted extends Base {
  readonly type: "EnergyDepleted";
  readonly stored_wh: number;
}

export interface EnergyRecharged extends Base {
  readonly type: "EnergyRecharged";
  readonly stored_wh: number;
  readonly for_sale_wh: number;
}

export interface DeviceFailed extends Base {
  readonly type: "DeviceFailed";
  readonly failure: string | null;
}

export interface SecurityEvent extends Base {
  readonly type: "SecurityEvent";
  readonly device: Id;
  readonly what: string;
}

export interface QuerySent extends Base {
  readonly type: "QuerySent";
  readonly battery: Id | null;
}

export interface QueryResponse extends Base {
  readonly type: "QueryResponse";
  readonly battery: Id;
  readonly lot_id: Id;
  readonly energy_wh: number;
  readonly ask_micro_per_kwh: number | null;
}

export interface BESSNodeStatus extends Base {
  readonly type: "BESSNodeStatus";
  readonly online: boolean;
  readonly mechanism: string;
  readonly capacity_wh: number;
  readonly stored_wh: number;
  readonly for_sale_wh: number;
  readonly reserved_wh: number;
  readonly to_deliver_wh: number;
  readonly health: string;
  readonly voltage_mv: number;
  readonly discharge_w: number;
  readonly temperature_mc: number | null;
  readonly failure: string | null;
  readonly sessions: number;
  readonly unsettled: number | null;
  readonly oldest_unsettled_us: number | null;
}

export interface AggregatorStatus extends Base {
  readonly type: "AggregatorStatus";
  readonly online: boolean;
  readonly strategy: string;
  readonly demand_wh: number;
  readonly bought_wh: number;
  readonly paid_micro: number;
  readonly exposed_wh: number;
  readonly promises_open: number;
  readonly batteries: number;
}

export interface Latency {
  readonly what: "age" | "reply";
  readonly message: string;
  readonly budget_ms: number;
  readonly count: number;
  readonly over_budget: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly worst_ms: number;
}

export interface SystemMetrics extends Base {
  readonly type: "SystemMetrics";
  readonly online: boolean;
  readonly latencies: readonly Latency[];
  readonly late_messages: number;
  readonly violations: number;
  readonly journal_waiting: number;
  readonly feed_unacked: number;
  readonly feed_dropped: number;
}

export type StreamEvent =
  | AuctionStarted
  | LotUpdated
  | BidPlaced
  | BidRejected
  | AuctionCompleted
  | LotVoided
  | BidAccepted
  | ReservationReleased
  | TradeConfirmed
  | SettlementUpdated
  | TradeSettled
  | EnergyDelivered
  | EnergyDepleted
  | EnergyRecharged
  | DeviceFailed
  | SecurityEvent
  | QuerySent
  | QueryResponse
  | BESSNodeStatus
  | AggregatorStatus
  | SystemMetrics;

export const EVENT_TYPES: readonly StreamEvent["type"][] = [
  "AuctionStarted",
  "LotUpdated",
  "BidPlaced",
  "BidRejected",
  "AuctionCompleted",
  "LotVoided",
  "BidAccepted",
  "ReservationReleased",
  "TradeConfirmed",
  "SettlementUpdated",
  "TradeSettled",
  "EnergyDelivered",
  "EnergyDepleted",
  "EnergyRecharged",
  "DeviceFailed",
  "SecurityEvent",
  "QuerySent",
  "QueryResponse",
  "BESSNodeStatus",
  "AggregatorStatus",
  "SystemMetrics",
];

// -- what the stream says beside events

export interface Welcome {
  readonly type: "Welcome";
  readonly epoch: string;
  readonly seq: number;
  readonly types: readonly string[];
}

export interface Subscribed {
  readonly type: "Subscribed";
  readonly types: readonly string[] | null;
  readonly nodes: readonly Id[] | null;
  readonly seq: number;
}

export interface OpenLot {
  readonly battery: Id;
  readonly lot_id: Id;
  readonly mechanism: string;
  readonly energy_wh: number;
  readonly reserve_micro_per_kwh: number | null;
  readonly ask_micro_per_kwh: number | null;
  readonly standing_micro_per_kwh: number | null;
  readonly bidders: number | null;
  readonly opened_us: number;
  readonly closes_us: number | null;
}

export interface Totals {
  readonly trades: number;
  readonly energy_wh: number;
  readonly paid_micro: number;
  readonly settled: number;
  readonly settled_micro: number;
}

export interface Snapshot {
  readonly type: "Snapshot";
  readonly epoch: string;
  readonly seq: number;
  readonly time_us: number;
  readonly gap: boolean;
  readonly batteries: readonly BESSNodeStatus[];
  readonly aggregators: readonly AggregatorStatus[];
  readonly metrics: readonly SystemMetrics[];
  readonly lots: readonly OpenLot[];
  readonly trades: readonly TradeConfirmed[];
  readonly totals: Totals;
}

export interface Resumed {
  readonly type: "Resumed";
  readonly epoch: string;
  readonly seq: number;
  readonly gap: boolean;
  readonly telemetry_gap: boolean;
}

export interface StreamError {
  readonly type: "Error";
  readonly reason: string;
}

export type Said = Welcome | Subscribed | Snapshot | Resumed | StreamError;

export type Verb =
  | { readonly verb: "subscribe"; readonly types: readonly string[] | null; readonly nodes: readonly Id[] | null }
  | { readonly verb: "unsubscribe"; readonly types: readonly string[] | null; readonly nodes: readonly Id[] | null }
  | { readonly verb: "request_snapshot" }
  | { readonly verb: "resume"; readonly epoch: string; readonly seq: number };
