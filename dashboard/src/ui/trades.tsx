/** Trades in a table, from REST and the stream alike. */

import { Link } from "../routing/router";
import { isReplay } from "../text/time";
import { cents, kwh, money } from "../text/units";
import { keyOf } from "../world/world";
import { AggregatorLink, BatteryLink, Delivery, Moment, Settlement } from "./parts";
import type { ListedTrade } from "./merge";
import { type Column, Table } from "./table";

function Uplift({ trade }: { trade: ListedTrade }) {
  if (trade.feed_in_micro_per_kwh === null) return <>–</>;
  const micro = trade.price_micro_per_kwh - trade.feed_in_micro_per_kwh;
  const sign = micro > 0 ? "+" : micro < 0 ? "−" : "±";
  return <span className={micro > 0 ? "text-good" : micro < 0 ? "text-bad" : ""}>{`${sign}${cents(Math.abs(micro))}`}</span>;
}

/** Market time, and in a replay also when it was really confirmed, which is what time filters go by. */
function When({ trade }: { trade: ListedTrade }) {
  if (!isReplay(trade.market_us, trade.time_us)) return <Moment us={trade.time_us} />;
  return (
    <span>
      <Moment us={trade.market_us} />
      <span className="block text-xs whitespace-nowrap text-muted">
        confirmed <Moment us={trade.time_us} />
      </span>
    </span>
  );
}

const TIME: Column<ListedTrade> = { name: "Market time", cell: (trade) => <When trade={trade} /> };
const SELLER: Column<ListedTrade> = { name: "Battery", cell: (trade) => <BatteryLink id={trade.battery} /> };
const BUYER: Column<ListedTrade> = { name: "Aggregator", cell: (trade) => <AggregatorLink id={trade.aggregator} /> };
const REST: readonly Column<ListedTrade>[] = [
  { name: "Energy, kWh", right: true, cell: (trade) => kwh(trade.energy_wh) },
  { name: "Price, c/kWh", right: true, cell: (trade) => cents(trade.price_micro_per_kwh, 4) },
  { name: "Above feed-in", right: true, hint: "c/kWh more than the grid would have paid", cell: (trade) => <Uplift trade={trade} /> },
  { name: "Paid", right: true, cell: (trade) => money(trade.paid_micro) },
  { name: "Bidders", right: true, cell: (trade) => trade.bidders ?? "–" },
  { name: "Delivery", cell: (trade) => <Delivery state={trade.delivery} /> },
  { name: "Settlement", cell: (trade) => <Settlement state={trade.settlement} /> },
  {
    name: "Trade",
    cell: (trade) => (
      <Link to={`/trades/${keyOf(trade.battery, trade.lot_id)}`} className="link" aria-label={`Details of lot ${trade.lot_id} of battery ${trade.battery}`}>
        details
      </Link>
    ),
  },
];

const FULL = [TIME, SELLER, BUYER, ...REST];
const OF_BATTERY = [TIME, BUYER, ...REST];
const OF_AGGREGATOR = [TIME, SELLER, ...REST];

export function TradesTable({ trades, caption, of, freshFromUs }: {
  trades: readonly ListedTrade[];
  caption: string;
  /** Whose page it is: its own column says nothing. */
  of?: "battery" | "aggregator";
  freshFromUs?: number;
}) {
  const columns = of === "battery" ? OF_BATTERY : of === "aggregator" ? OF_AGGREGATOR : FULL;
  return (
    <Table
      caption={caption}
      columns={columns}
      rows={trades}
      rowKey={(trade) => keyOf(trade.battery, trade.lot_id)}
      rowTestId="trade-row"
      {...(freshFromUs === undefined ? {} : { fresh: (trade: ListedTrade) => trade.time_us > freshFromUs })}
    />
  );
}
