/** One lot: live while it is open, then how it went, bid by bid. */

import { useMemo } from "react";
import type uPlot from "uplot";

import type { Bid, LotDetail } from "../contract/rest";
import { useResource } from "../net/resource";
import { duration } from "../text/time";
import { count, energy, plural, price } from "../text/units";
import { Chart, axis, centsValue, dots, roomy } from "../ui/chart";
import { Closes, OpenLots, isSealed } from "../ui/lots";
import { AggregatorLink, Answer, Badge, BatteryLink, Empty, Facts, Heading, Hex, Moment, Panel } from "../ui/parts";
import { Table } from "../ui/table";
import { colour } from "../ui/theme";
import { TradesTable } from "../ui/trades";
import { useWorld } from "../world/store";
import { type LiveLot, keyOf } from "../world/world";

export default function Lot({ battery, lot }: { battery: string; lot: string }) {
  const key = keyOf(battery, lot);
  const open = useWorld((world) => world.lots.get(key));
  const ended = useWorld((world) => world.ended.get(key));
  const signals = useWorld((world) => world.signals);
  const path = open === undefined ? `/lots/${key}` : null;
  const stored = useResource<LotDetail>(path, { signal: signals.trades + signals.settlements + (ended === undefined ? 0 : 1), everyMs: 500 });
  return (
    <>
      <Heading title={`Lot ${lot} of battery ${battery}`} aside={<State open={open !== undefined} lot={stored.data} />}>
        Lot {lot}
      </Heading>
      {open !== undefined ? (
        <OpenLot lot={open} />
      ) : stored.data === null ? (
        <div className="panel">
          <Answer of={stored}>{() => null}</Answer>
          {stored.error?.status === 404 && <Empty>A lot that closed without a bid leaves no trace, and one that has not opened has none yet.</Empty>}
        </div>
      ) : (
        <ClosedLot lot={stored.data} />
      )}
    </>
  );
}

function State({ open, lot }: { open: boolean; lot: LotDetail | null }) {
  if (open) return <Badge tone="info" testId="lot-state">open</Badge>;
  if (lot === null) return null;
  return (
    <Badge tone={lot.state === "reserved" ? "good" : "warn"} testId="lot-state">
      {lot.state === "reserved" ? "sold" : "void"}
    </Badge>
  );
}

function OpenLot({ lot }: { lot: LiveLot }) {
  return (
    <div className="grid gap-4">
      <Panel title="Bidding now" pad={false} aside={<>closes <Closes lot={lot} /></>}>
        <OpenLots lots={[lot]} caption="This lot" />
      </Panel>
      <Panel title="Progress" pad={false}>
        {isSealed(lot.mechanism) ? (
          <Empty>A sealed lot: nobody but its owner sees a bid before it closes. Then all of them are shown here.</Empty>
        ) : lot.steps.length === 0 ? (
          <Empty>No bid yet.</Empty>
        ) : (
          <Table
            caption="Standing bids as they came, newest first"
            cards={false}
            rows={lot.steps.toReversed()}
            rowKey={(step) => String(step.time_us)}
            columns={[
              { name: "Time", cell: (step) => <Moment us={step.time_us} shape="full" /> },
              { name: "Standing bid", right: true, cell: (step) => price(step.micro_per_kwh) },
            ]}
          />
        )}
      </Panel>
    </div>
  );
}

function ClosedLot({ lot }: { lot: LotDetail }) {
  return (
    <div className="grid gap-4 lg:grid-cols-3">
      <Panel title="How it went" className="lg:col-span-2" aside={plural(lot.progress.length, "bid")}>
        {lot.progress.length === 0 ? <Empty>Its bids are not stored.</Empty> : <Progress lot={lot} />}
      </Panel>
      <Panel title="The lot">
        <Facts
          rows={[
            ["Battery", <BatteryLink key="b" id={lot.battery} />],
            ["Mechanism", <Badge key="m">{lot.mechanism}</Badge>],
            ["Energy", energy(lot.energy_wh)],
            ["Reserve", lot.reserve_micro_per_kwh === null ? "hidden by its owner" : price(lot.reserve_micro_per_kwh)],
            ["First bid that took part", price(lot.first_micro_per_kwh)],
            ["Price was set by", lot.setter === null ? "the reserve" : <AggregatorLink key="s" id={lot.setter} />],
            ["at", price(lot.setter_micro_per_kwh)],
            ["Bidders", count(lot.bidders)],
            ["Opened", <Moment key="o" us={lot.opened_us} shape="full" />],
            ["Closed", <Moment key="c" us={lot.closed_us} shape="full" />],
            ["Open for", duration(lot.closed_us - lot.opened_us)],
            ["Market time", <Moment key="t" us={lot.market_us} />],
            ["Ended by", lot.capped ? "the longest duration" : "its closing rule"],
            ["Bids’ digest", <Hex key="d">{lot.digest}</Hex>],
          ]}
        />
      </Panel>
      {lot.trades.length > 0 && (
        <Panel title={lot.trades.length === 1 ? "Its trade" : "Its trades"} pad={false} className="lg:col-span-3">
          <TradesTable trades={lot.trades} caption="Trades of this lot" />
        </Panel>
      )}
      <Panel title="Bids in order of arrival" pad={false} className="lg:col-span-3">
        {lot.progress.length === 0 ? <Empty>None is stored.</Empty> : <Bids lot={lot} />}
      </Panel>
    </div>
  );
}

function Bids({ lot }: { lot: LotDetail }) {
  return (
    <Table
      caption="Bids in order of arrival"
      rows={lot.progress}
      rowKey={(bid) => `${bid.bidder}/${bid.message_id}/${bid.time_us}`}
      rowTestId="bid-row"
      columns={[
        { name: "After opening", right: true, cell: (bid) => duration(bid.time_us - lot.opened_us) },
        { name: "Bidder", cell: (bid) => <AggregatorLink id={bid.bidder} /> },
        { name: "Energy", right: true, cell: (bid) => energy(bid.energy_wh) },
        { name: "Price", right: true, cell: (bid) => price(bid.price_micro_per_kwh) },
        { name: "Answer", cell: (bid) => <BidState bid={bid} /> },
        { name: "message_id", right: true, cell: (bid) => <Hex>{bid.message_id}</Hex> },
      ]}
    />
  );
}

function BidState({ bid }: { bid: Bid }) {
  return <Badge tone={bid.state === "standing" ? "good" : "plain"}>{bid.state === "standing" ? "took part" : bid.state.replaceAll("_", " ")}</Badge>;
}

function options(): Omit<uPlot.Options, "width" | "height"> {
  return {
    scales: { x: { time: false, range: roomy(0.02) }, y: { range: roomy(0.1) } },
    axes: [axis({ values: (_plot, ticks) => ticks.map((at) => `${at} s`) }), axis({ size: 56, label: "c/kWh" })],
    cursor: { y: false },
    series: [
      { label: "After opening", value: (_plot, at: number | null) => (at === null ? "–" : `${at.toFixed(2)} s`) },
      { label: "Took part", ...dots("price", 9), value: centsValue },
      { label: "Refused", ...dots("feed-in", 7), value: centsValue },
      { label: "Reserve", stroke: colour("first"), width: 1.5, dash: [6, 4], points: { show: false }, value: centsValue },
    ],
  };
}

function Progress({ lot }: { lot: LotDetail }) {
  const data = useMemo((): uPlot.AlignedData => {
    const took = (bid: Bid) => bid.state === "standing";
    // The lot's first and last moment have no bid; the reserve held from one to the other.
    const of = (wanted: (bid: Bid) => boolean) => [null, ...lot.progress.map((bid) => (wanted(bid) ? bid.price_micro_per_kwh / 10_000 : null)), null];
    const reserve = lot.reserve_micro_per_kwh === null ? null : lot.reserve_micro_per_kwh / 10_000;
    const times = [lot.opened_us, ...lot.progress.map((bid) => bid.time_us), Math.max(lot.closed_us, lot.progress.at(-1)?.time_us ?? 0)];
    return [times.map((us) => (us - lot.opened_us) / 1_000_000), of(took), of((bid) => !took(bid)), times.map(() => reserve)];
  }, [lot]);
  const took = lot.progress.filter((bid) => bid.state === "standing").length;
  return <Chart label={`Bids by price and time after opening: ${took} took part, ${lot.progress.length - took} refused. The table of bids below has all numbers.`} data={data} options={options} height={240} />;
}
