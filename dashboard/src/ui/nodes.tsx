/** What lists of batteries and aggregators share: the stored node, with what the stream says newer. */

import type { AggregatorStatus, BESSNodeStatus } from "../contract/events";
import type { Aggregator, Battery } from "../contract/rest";
import { energy, kwh, percent } from "../text/units";
import { Badge, type Tone } from "./parts";

/** A battery with its newest status. */
export function withStatus(battery: Battery, status: BESSNodeStatus | undefined): Battery {
  if (status === undefined || (battery.status_us ?? 0) > status.time_us) return battery;
  const { online, mechanism, stored_wh, for_sale_wh, reserved_wh, to_deliver_wh, health, failure, market_us } = status;
  return { ...battery, online, mechanism, stored_wh, for_sale_wh, reserved_wh, to_deliver_wh, health, failure, market_us, status_us: status.time_us };
}

/** An aggregator with its newest status. */
export function withBuyerStatus(aggregator: Aggregator, status: AggregatorStatus | undefined): Aggregator {
  if (status === undefined || (aggregator.status_us ?? 0) > status.time_us) return aggregator;
  const { online, strategy, demand_wh, bought_wh, exposed_wh, market_us } = status;
  return { ...aggregator, online, strategy, demand_wh, bought_wh, exposed_wh, market_us, status_us: status.time_us };
}

const HEALTHS: Readonly<Record<string, Tone>> = { excellent: "good", good: "good", fair: "warn", poor: "bad" };

export function Health({ health, failure }: { health: string | null; failure: string | null }) {
  if (failure !== null) return <Badge tone="bad">{`failed: ${failure}`}</Badge>;
  return health === null ? <>–</> : <Badge tone={HEALTHS[health] ?? "plain"}>{health}</Badge>;
}

/** State of charge as a bar, with the part that is for sale; the number beside it says the same. */
export function Charge({ battery }: { battery: Pick<Battery, "capacity_wh" | "stored_wh" | "for_sale_wh"> }) {
  const { capacity_wh: capacity, stored_wh: stored, for_sale_wh: forSale } = battery;
  if (stored === null || capacity === 0) return <>–</>;
  const share = (wh: number) => `${Math.min(100, (100 * wh) / capacity)}%`;
  return (
    <span className="flex min-w-44 items-center gap-2">
      <span aria-hidden="true" className="relative h-2.5 flex-1 overflow-hidden rounded-full border border-line bg-raised">
        <span className="absolute inset-y-0 left-0 bg-line-strong" style={{ width: share(stored) }} />
        <span className="absolute inset-y-0 bg-price" style={{ left: share(Math.max(0, stored - (forSale ?? 0))), width: share(Math.min(stored, forSale ?? 0)) }} />
      </span>
      <span className="number w-28 shrink-0 text-right whitespace-nowrap">
        <strong className="font-semibold">{percent(stored, capacity)}</strong> <span className="text-muted">{`${kwh(stored)} kWh`}</span>
      </span>
    </span>
  );
}

/** A part of a demand that is met. */
export function Demand({ bought, demand }: { bought: number | null; demand: number }) {
  if (bought === null || demand === 0) return <>{energy(demand)}</>;
  return (
    <span className="flex min-w-44 items-center gap-2">
      <span aria-hidden="true" className="h-2.5 flex-1 overflow-hidden rounded-full border border-line bg-raised">
        <span className="block h-full bg-price" style={{ width: `${Math.min(100, (100 * bought) / demand)}%` }} />
      </span>
      <span className="number w-32 shrink-0 text-right whitespace-nowrap">{`${kwh(bought)} of ${energy(demand)}`}</span>
    </span>
  );
}

/** Lots won of those bid for. */
export function winRate(aggregator: Pick<Aggregator, "lots_won" | "lots_bid">): string {
  return aggregator.lots_bid === 0 ? "–" : `${percent(aggregator.lots_won, aggregator.lots_bid)} (${aggregator.lots_won} of ${aggregator.lots_bid})`;
}
