/** What was paid against what the grid would have paid, trade by trade, over market time. */

import { useMemo } from "react";
import type uPlot from "uplot";

import type { ListedTrade } from "./merge";
import { cents, price } from "../text/units";
import { keyOf } from "../world/world";
import { Chart, axis, centsValue, dots, momentValue, roomy, timeAxis } from "./chart";
import { Moment } from "./parts";
import { Table } from "./table";
import { colour } from "./theme";

const HEIGHT = 260;

function options(): Omit<uPlot.Options, "width" | "height"> {
  return {
    scales: { x: { time: true, range: roomy(0.02) }, y: { range: roomy(0.1) } },
    axes: [timeAxis(), axis({ size: 56, label: "c/kWh" })],
    cursor: { y: false },
    series: [
      { label: "Market time", value: momentValue },
      { label: "Paid", ...dots("price", 7), value: centsValue },
      { label: "Feed-in", stroke: colour("feed-in"), width: 2, dash: [6, 4], points: { show: false }, value: centsValue },
    ],
  };
}

export function PriceChart({ trades }: { trades: readonly ListedTrade[] }) {
  const sorted = useMemo(() => trades.toSorted((a, b) => a.market_us - b.market_us), [trades]);
  const data = useMemo((): uPlot.AlignedData => {
    const of = (micro: number | null) => (micro === null ? null : micro / 10_000);
    return [
      sorted.map((trade) => trade.market_us / 1_000_000),
      sorted.map((trade) => of(trade.price_micro_per_kwh)),
      sorted.map((trade) => of(trade.feed_in_micro_per_kwh)),
    ];
  }, [sorted]);
  const prices = sorted.map((trade) => trade.price_micro_per_kwh);
  const label = `Price of ${sorted.length} trades over market time, from ${price(Math.min(...prices))} to ${price(Math.max(...prices))}, against the feed-in tariff`;
  return (
    <Chart
      label={label}
      data={data}
      options={options}
      height={HEIGHT}
      table={
        <Table
          caption="Price against feed-in, newest first"
          cards={false}
          rows={sorted.slice(-200).reverse()}
          rowKey={(trade) => keyOf(trade.battery, trade.lot_id)}
          columns={[
            { name: "Market time", cell: (trade) => <Moment us={trade.market_us} /> },
            { name: "Paid, c/kWh", right: true, cell: (trade) => cents(trade.price_micro_per_kwh, 4) },
            { name: "Feed-in, c/kWh", right: true, cell: (trade) => cents(trade.feed_in_micro_per_kwh, 4) },
          ]}
        />
      }
    />
  );
}
