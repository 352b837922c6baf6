/** One battery: what it holds over the day, its lots and its trades. */

import { useEffect, useMemo, useState } from "react";
import type uPlot from "uplot";

import type { Battery as BatteryModel, Lot, Page, Sample, Trade } from "../contract/rest";
import { getText, query } from "../net/api";
import { useResource } from "../net/resource";
import { Link, useQuery } from "../routing/router";
import { fromCsv, thinned } from "../text/samples";
import { average, celsius, count, energy, kwh, money, plural, price, volts, watts } from "../text/units";
import { Chart, axis, momentValue, timeAxis } from "../ui/chart";
import { OpenLots } from "../ui/lots";
import { Health, withStatus } from "../ui/nodes";
import { Answer, Badge, Empty, Facts, Figure, Figures, Heading, Hex, Moment, Online, Panel } from "../ui/parts";
import { Table } from "../ui/table";
import { colour } from "../ui/theme";
import { merged } from "../ui/merge";
import { TradesTable } from "../ui/trades";
import { useWorld, watchWorld } from "../world/store";
import { keyOf } from "../world/world";

/** Points of a chart: about one for each pixel. */
const POINTS = 1_500;
/** Rows of one reading: more than a day at one a second. */
const ROWS = 100_000;
const RANGES = [1, 6, 24, 168] as const;
const HOUR_US = 3_600_000_000;

export default function Battery({ id }: { id: string }) {
  const signals = useWorld((world) => world.signals);
  const signal = signals.trades + signals.nodes + signals.settlements;
  const stored = useResource<BatteryModel>(`/batteries/${id}`, { signal, everyMs: 2_000 });
  const status = useWorld((world) => world.batteries.get(id));
  const battery = stored.data === null ? null : withStatus(stored.data, status);
  return (
    <>
      <Heading title={`Battery ${id}`} aside={battery !== null && <Online online={battery.online} />}>
        Battery {id}
      </Heading>
      {battery === null ? (
        <div className="panel">
          <Answer of={stored}>{() => null}</Answer>
        </div>
      ) : (
        <>
          <Numbers battery={battery} />
          <div className="grid gap-4 lg:grid-cols-3">
            <Curve id={id} className="lg:col-span-2" />
            <Panel title="Device">
              <Facts
                rows={[
                  ["Health", <Health key="h" health={battery.health} failure={battery.failure} />],
                  ["Mechanism", <Badge key="m">{battery.mechanism}</Badge>],
                  ["Capacity", energy(battery.capacity_wh)],
                  ["Feed-in tariff", price(battery.feed_in_micro_per_kwh)],
                  ["Voltage", status === undefined ? "–" : volts(status.voltage_mv)],
                  ["Discharging", status === undefined ? "–" : watts(status.discharge_w)],
                  ["Temperature", status === undefined ? "–" : celsius(status.temperature_mc)],
                  ["Buyers connected", count(status?.sessions)],
                  ["Unsettled trades", status?.unsettled === null ? "no chain" : count(status?.unsettled)],
                  ["Last status", <Moment key="s" us={battery.status_us} shape="time" />],
                  ["Seen first", <Moment key="f" us={battery.first_seen_us} />],
                  ["Key", battery.key === null ? "plain: unproven" : <Hex key="k">{battery.key}</Hex>],
                ]}
              />
            </Panel>
          </div>
          <div className="mt-4 grid gap-4">
            <Open id={id} />
            <Trades id={id} signal={signals.trades} />
            <Closed id={id} signal={signals.lots} />
          </div>
        </>
      )}
    </>
  );
}

function Numbers({ battery }: { battery: BatteryModel }) {
  const paid = battery.sold_wh === 0 ? null : Math.round((battery.earned_micro * 1_000) / battery.sold_wh);
  return (
    <Figures label={`Battery ${battery.device_id} in numbers`}>
      <Figure label="Stored" value={energy(battery.stored_wh)} note={`of ${energy(battery.capacity_wh)}`} />
      <Figure label="For sale now" value={energy(battery.for_sale_wh)} />
      <Figure label="Promised" value={energy(battery.reserved_wh)} note={`${energy(battery.to_deliver_wh)} to deliver`} />
      <Figure label="Sold" value={energy(battery.sold_wh)} note={plural(battery.trades, "trade")} />
      <Figure label="Earned" value={money(battery.earned_micro)} note={`${money(battery.settled_micro)} settled`} />
      <Figure label="Average price" value={average(paid)} note={`feed-in ${price(battery.feed_in_micro_per_kwh)}`} />
    </Figures>
  );
}

function curveOptions(): Omit<uPlot.Options, "width" | "height"> {
  const value = (_plot: uPlot, kilo: number | null | undefined) => (kilo == null ? "–" : `${kilo.toFixed(2)} kWh`);
  return {
    axes: [timeAxis(), axis({ size: 50, label: "kWh" })],
    cursor: { y: false },
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.05)] } },
    series: [
      { label: "Market time", value: momentValue },
      { label: "Stored", stroke: colour("series-4"), width: 2, points: { show: false }, value },
      { label: "For sale", stroke: colour("price"), width: 2, points: { show: false }, value },
      { label: "Promised", stroke: colour("first"), width: 1.5, points: { show: false }, value },
      { label: "To deliver", stroke: colour("feed-in"), width: 1.5, points: { show: false }, value },
    ],
  };
}

async function readSamples(path: string, abort: AbortSignal): Promise<readonly Sample[]> {
  return thinned(fromCsv(await getText(path, abort)), POINTS);
}

/** What came live since it was read. */
function useLive(id: string): readonly Sample[] {
  const [live, setLive] = useState<readonly Sample[]>([]);
  useEffect(
    () =>
      watchWorld((world) => {
        const status = world.batteries.get(id);
        if (status === undefined) return;
        setLive((before) => (before.at(-1)?.time_us === status.time_us ? before : [...before, status].slice(-POINTS)));
      }),
    [id],
  );
  return live;
}

function Curve({ id, className }: { id: string; className: string }) {
  const [filters, change] = useQuery();
  const asked = Number(filters.get("hours"));
  const hours = RANGES.find((range) => range === asked) ?? 24;
  const [openedUs] = useState(() => Math.floor(Date.now() / 60_000) * 60_000_000);
  const path = query(`/batteries/${id}/samples`, { from_us: openedUs - hours * HOUR_US, format: "csv", limit: ROWS });
  const stored = useResource<readonly Sample[]>(path, { read: readSamples });
  const live = useLive(id);
  const samples = useMemo(() => {
    const read = stored.data ?? [];
    const last = read.at(-1)?.time_us ?? 0;
    return [...read, ...live.filter((sample) => sample.time_us > last)].toSorted((a, b) => a.market_us - b.market_us);
  }, [stored.data, live]);
  return (
    <Panel
      title="Energy over the day"
      className={className}
      aside={
        <label className="flex items-center gap-2">
          <span>Last</span>
          <select className="control" value={hours} onChange={(event) => change({ hours: event.target.value })}>
            {RANGES.map((range) => (
              <option key={range} value={range}>
                {range < 48 ? plural(range, "hour") : `${range / 24} days`}
              </option>
            ))}
          </select>
        </label>
      }
    >
      <Answer of={stored} rows={6}>
        {() => (samples.length < 2 ? <Empty>It has not reported in this time.</Empty> : <Curves id={id} samples={samples} />)}
      </Answer>
    </Panel>
  );
}

function Curves({ id, samples }: { id: string; samples: readonly Sample[] }) {
  const data = useMemo((): uPlot.AlignedData => {
    const of = (name: "stored_wh" | "for_sale_wh" | "reserved_wh" | "to_deliver_wh") => samples.map((sample) => sample[name] / 1_000);
    return [samples.map((sample) => sample.market_us / 1_000_000), of("stored_wh"), of("for_sale_wh"), of("reserved_wh"), of("to_deliver_wh")];
  }, [samples]);
  const last = samples.at(-1);
  return (
    <Chart
      label={`Battery ${id} over market time: ${plural(samples.length, "sample")}; now ${energy(last?.stored_wh)} stored, ${energy(last?.for_sale_wh)} for sale`}
      data={data}
      options={curveOptions}
      height={260}
      table={
        <Table
          caption={`Energy of battery ${id}, newest first`}
          cards={false}
          rows={thinned(samples, 100).toReversed()}
          rowKey={(sample) => String(sample.time_us)}
          columns={[
            { name: "Market time", cell: (sample) => <Moment us={sample.market_us} /> },
            { name: "Stored, kWh", right: true, cell: (sample) => kwh(sample.stored_wh) },
            { name: "For sale, kWh", right: true, cell: (sample) => kwh(sample.for_sale_wh) },
            { name: "Promised, kWh", right: true, cell: (sample) => kwh(sample.reserved_wh) },
            { name: "To deliver, kWh", right: true, cell: (sample) => kwh(sample.to_deliver_wh) },
          ]}
        />
      }
    />
  );
}

function Open({ id }: { id: string }) {
  const lots = useWorld((world) => world.lots);
  const own = useMemo(() => [...lots.values()].filter((lot) => lot.battery === id), [lots, id]);
  return (
    <Panel title="For sale now" pad={false}>
      {own.length === 0 ? <Empty>No lot is open here.</Empty> : <OpenLots lots={own} caption={`Open lot of battery ${id}`} />}
    </Panel>
  );
}

function Trades({ id, signal }: { id: string; signal: number }) {
  const stored = useResource<Page<Trade>>(`/trades?battery=${id}&limit=10`, { signal });
  const live = useWorld((world) => world.trades);
  return (
    <Panel
      title="Trades"
      pad={false}
      aside={
        <Link to={`/trades?battery=${id}`} className="link">
          All its trades
        </Link>
      }
    >
      <Answer of={stored}>
        {(page) => {
          const trades = merged(page.items, live.filter((trade) => trade.node === id), 10);
          return trades.length === 0 ? <Empty>It has sold nothing yet.</Empty> : <TradesTable trades={trades} of="battery" caption={`Last trades of battery ${id}`} />;
        }}
      </Answer>
    </Panel>
  );
}

function Closed({ id, signal }: { id: string; signal: number }) {
  const stored = useResource<Page<Lot>>(`/lots?battery=${id}&limit=10`, { signal });
  return (
    <Panel title="Closed lots" pad={false}>
      <Answer of={stored}>
        {(page) =>
          page.items.length === 0 ? (
            <Empty>No lot with bids has closed yet.</Empty>
          ) : (
            <Table
              caption={`Last closed lots of battery ${id}`}
              rows={page.items}
              rowKey={(lot) => keyOf(lot.battery, lot.lot_id)}
              rowTestId="closed-lot-row"
              columns={[
                { name: "Closed, market time", cell: (lot) => <Moment us={lot.market_us} /> },
                { name: "Energy", right: true, cell: (lot) => energy(lot.energy_wh) },
                { name: "Reserve", right: true, cell: (lot) => (lot.reserve_micro_per_kwh === null ? "hidden" : price(lot.reserve_micro_per_kwh)) },
                { name: "Bids", right: true, cell: (lot) => count(lot.bids) },
                { name: "Bidders", right: true, cell: (lot) => count(lot.bidders) },
                { name: "Ended", cell: (lot) => <Badge tone={lot.state === "reserved" ? "good" : "warn"}>{lot.state === "reserved" ? "sold" : "void"}</Badge> },
                {
                  name: "Lot",
                  cell: (lot) => (
                    <Link to={`/lots/${keyOf(lot.battery, lot.lot_id)}`} className="link" aria-label={`how it went: lot ${lot.lot_id}`}>
                      how it went
                    </Link>
                  ),
                },
              ]}
            />
          )
        }
      </Answer>
    </Panel>
  );
}
