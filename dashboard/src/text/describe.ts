/** One line about an event. Exhaustive over the types; one that is newer than this page is shown by its name. */

import type { StreamEvent } from "../contract/events";
import { energy, money, plural, price } from "./units";

type Describe = { readonly [K in StreamEvent["type"]]: (event: Extract<StreamEvent, { type: K }>) => string };

const asked = (micro: number | null) => (micro === null ? "ask not disclosed" : `ask ${price(micro)}`);

const DESCRIBE: Describe = {
  AuctionStarted: (e) => `${e.mechanism} lot of ${energy(e.energy_wh)}, reserve ${e.reserve_micro_per_kwh === null ? "hidden" : price(e.reserve_micro_per_kwh)}`,
  LotUpdated: (e) =>
    e.standing_micro_per_kwh === null
      ? `${energy(e.energy_wh)}, ${asked(e.ask_micro_per_kwh)}`
      : `standing bid ${price(e.standing_micro_per_kwh)}, ${plural(e.bidders ?? 0, "bidder")}`,
  BidPlaced: (e) => `${e.bidder} bid ${price(e.price_micro_per_kwh)} for ${energy(e.energy_wh)}`,
  BidRejected: (e) => `${e.bidder} refused at ${price(e.price_micro_per_kwh)}: ${e.code.replaceAll("_", " ")}`,
  AuctionCompleted: (e) => `${energy(e.energy_wh)} promised after ${plural(e.bids, "bid")} of ${plural(e.bidders, "bidder")}`,
  LotVoided: (e) => `${energy(e.energy_wh)} unsold after ${plural(e.bids, "bid")}`,
  BidAccepted: (e) => `${energy(e.energy_wh)} reserved for ${e.bidder} at ${price(e.price_micro_per_kwh)}`,
  ReservationReleased: (e) => `${energy(e.energy_wh)} of ${e.bidder} for sale again: ${e.reason}`,
  TradeConfirmed: (e) => `${energy(e.energy_wh)} to ${e.aggregator} at ${price(e.price_micro_per_kwh)}, ${money(e.paid_micro)}`,
  SettlementUpdated: (e) => `${money(e.amount_micro)} from ${e.aggregator}: ${e.state}${e.reason === "" ? "" : `, ${e.reason}`}`,
  TradeSettled: (e) => `${money(e.amount_micro)} paid by ${e.aggregator}`,
  EnergyDelivered: (e) => `${energy(e.delivered_wh)} of ${energy(e.energy_wh)} delivered to ${e.aggregator}${e.short ? ", short" : ""}`,
  EnergyDepleted: (e) => `nothing left to sell, ${energy(e.stored_wh)} stored`,
  EnergyRecharged: (e) => `${energy(e.for_sale_wh)} for sale again`,
  DeviceFailed: (e) => (e.failure === null ? "device works again" : `device failed: ${e.failure}`),
  SecurityEvent: (e) => `${e.what.replaceAll("_", " ")}, in the name of ${e.device}`,
  QuerySent: (e) => `asked ${e.battery ?? "everybody"} what is for sale`,
  QueryResponse: (e) => `${e.battery} offers ${energy(e.energy_wh)}, ${asked(e.ask_micro_per_kwh)}`,
  BESSNodeStatus: (e) => `${e.online ? "" : "offline, "}${energy(e.stored_wh)} stored, ${energy(e.for_sale_wh)} for sale, ${e.health}`,
  AggregatorStatus: (e) => `${e.online ? "" : "offline, "}${energy(e.bought_wh)} bought of ${energy(e.demand_wh)}, ${e.strategy}`,
  SystemMetrics: (e) => `${plural(e.late_messages, "late message")}, ${plural(e.feed_unacked, "row")} not acknowledged`,
};

/** What an event says, in a line. */
export function describe(event: StreamEvent): string {
  const known = DESCRIBE[event.type] as ((event: StreamEvent) => string) | undefined;
  try {
    return known === undefined ? "" : known(event);
  } catch {
    return ""; // a newer gateway's event without a field that this page expects: its JSON is shown all the same
  }
}
