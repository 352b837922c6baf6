/** Whether competition pays: prices by number of bidders and by hour, against both baselines, with what the numbers can say. */

import { useCallback, useMemo } from "react";
import type uPlot from "uplot";

import type { Group, GroupBy, Statistics } from "../contract/rest";
import { query } from "../net/api";
import { useResource } from "../net/resource";
import { useQuery } from "../routing/router";
import { ZONE, fromLocalField, moment, offsetName, toLocalField } from "../text/time";
import { cents, count, kwh, plural } from "../text/units";
import { type Sentence, byBidders, overall } from "../text/verdict";
import { useNowMs } from "../ui/clock";
import { Chart, axis, centsValue, roomy, timeAxis } from "../ui/chart";
import { Field } from "../ui/filters";
import { Answer, Empty, Heading, Panel } from "../ui/parts";
import { Table } from "../ui/table";
import { colour } from "../ui/theme";
import { useWorld } from "../world/store";

const HOUR_US = 3_600_000_000;
const FILTERS = ["battery", "aggregator", "from_us", "to_us"] as const;

function useStatistics(by: GroupBy) {
  const [filters] = useQuery();
  const signal = useWorld((world) => world.signals.trades);
  const asked = Object.fromEntries(FILTERS.map((name) => [name, filters.get(name)]));
  return useResource<Statistics>(query("/statistics", { by, ...asked }), { signal, everyMs: 5_000 });
}

export default function Competition() {
  const [filters] = useQuery();
  return (
    <>
      <Heading title="Competition">Does competition pay?</Heading>
      <Filters key={filters.toString()} />
      <div className="grid gap-4">
        <Answers />
        <ByBidders />
        <ByHour />
        <ByHourOfDay />
      </div>
    </>
  );
}

function Filters() {
  const [filters, change] = useQuery();
  const hour = (text: string) => {
    const us = fromLocalField(text);
    return us === null ? null : String(Math.floor(Number(us) / HOUR_US) * HOUR_US);
  };
  const text = (name: "battery" | "aggregator", label: string) => (
    <Field name={label}>
      <input
        className="control w-full"
        inputMode="numeric"
        placeholder="all"
        defaultValue={filters.get(name) ?? ""}
        onBlur={(event) => change({ [name]: /^(0|[1-9]\d{0,19})$/.test(event.target.value.trim()) ? event.target.value.trim() : null })}
        onKeyDown={(event) => {
          if (event.key === "Enter") event.currentTarget.blur();
        }}
        data-testid={`filter-${name}`}
      />
    </Field>
  );
  const time = (name: "from_us" | "to_us", label: string) => (
    <Field name={label}>
      <input className="control w-full" type="datetime-local" step={3_600} defaultValue={toLocalField(filters.get(name))} onBlur={(event) => change({ [name]: hour(event.target.value) })} data-testid={`filter-${name}`} />
    </Field>
  );
  return (
    <section aria-label="Filters" className="panel mb-4 grid grid-cols-2 items-end gap-3 p-4 lg:grid-cols-5">
      {text("battery", "Battery")}
      {text("aggregator", "Aggregator")}
      {time("from_us", "Market time from")}
      {time("to_us", "Market time before")}
      <button type="button" className="button" disabled={!FILTERS.some((name) => filters.has(name))} onClick={() => change(Object.fromEntries(FILTERS.map((name) => [name, null])))}>
        Clear
      </button>
    </section>
  );
}

const TONES: Readonly<Record<Sentence["tone"], string>> = { good: "border-good", bad: "border-bad", open: "border-line-strong" };

function Sentences({ of }: { of: readonly Sentence[] }) {
  return (
    <ul className="space-y-2" data-testid="verdict">
      {of.map((sentence) => (
        <li key={sentence.text} data-tone={sentence.tone} className={`border-l-4 pl-3 ${TONES[sentence.tone]}`}>
          {sentence.text}
        </li>
      ))}
    </ul>
  );
}

function Answers() {
  const all = useStatistics("all");
  return (
    <Panel title="What the trades say">
      <Answer of={all}>
        {(statistics) => (
          <>
            <Sentences of={overall(statistics)} />
            <p className="mt-3 text-xs text-muted">
              Prices are weighted by energy. An interval says how much chance is in these trades; it does not make a sample of a few evenings one of all evenings. The
              second baseline is what a battery that sells to the first bid above its reserve would have been paid for the same bids.
            </p>
          </>
        )}
      </Answer>
    </Panel>
  );
}

/** x of a group, or null: it is in no chart (bidders that are not known). */
type Place = (group: Group) => number | null;

function useChartData(groups: readonly Group[], place: Place): { readonly shown: readonly Group[]; readonly data: uPlot.AlignedData } {
  return useMemo(() => {
    const placed = groups
      .map((group) => [place(group), group] as const)
      .filter((pair): pair is readonly [number, Group] => pair[0] !== null && pair[1].price_micro_per_kwh !== null)
      .toSorted((a, b) => a[0] - b[0]);
    const of = (name: "price_micro_per_kwh" | "low_micro_per_kwh" | "high_micro_per_kwh" | "feed_in_micro_per_kwh" | "first_micro_per_kwh") =>
      placed.map(([, group]) => (group[name] === null ? null : group[name] / 10_000));
    return {
      shown: placed.map(([, group]) => group),
      data: [placed.map(([x]) => x), of("price_micro_per_kwh"), of("feed_in_micro_per_kwh"), of("first_micro_per_kwh"), of("low_micro_per_kwh"), of("high_micro_per_kwh")],
    };
  }, [groups, place]);
}

/** Draws each interval as a bar with ends, over its point. */
function intervals(plot: uPlot): void {
  const [xs, , , , lows, highs] = plot.data as [number[], unknown, unknown, unknown, (number | null)[], (number | null)[]];
  const { ctx } = plot;
  const cap = 4 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour("price");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  xs.forEach((at, index) => {
    const [low, high] = [lows[index], highs[index]];
    if (low == null || high == null) return;
    const [x, top, bottom] = [plot.valToPos(at, "x", true), plot.valToPos(high, "y", true), plot.valToPos(low, "y", true)];
    ctx.moveTo(x, top);
    ctx.lineTo(x, bottom);
    for (const y of [top, bottom]) {
      ctx.moveTo(x - cap, y);
      ctx.lineTo(x + cap, y);
    }
  });
  ctx.stroke();
  ctx.restore();
}

function chartOptions(x: uPlot.Axis, time: boolean, label: string, name: (at: number) => string): Omit<uPlot.Options, "width" | "height"> {
  const marks = (of: string): uPlot.Series.Points => ({ show: true, size: 7, fill: colour(of), stroke: colour("surface"), width: 1 });
  return {
    scales: { x: { time, range: roomy(0.05) }, y: { range: roomy(0.1) } },
    axes: [x, axis({ size: 56, label: "c/kWh" })],
    cursor: { y: false },
    hooks: { draw: [intervals] },
    series: [
      { label, value: (_plot, at: number | null) => (at === null ? "–" : name(at)) },
      { label: "Paid", stroke: colour("price"), width: 2, points: marks("price"), value: centsValue },
      { label: "Feed-in", stroke: colour("feed-in"), width: 2, dash: [6, 4], points: { ...marks("feed-in"), size: 5 }, value: centsValue },
      { label: "First above reserve", stroke: colour("first"), width: 2, dash: [2, 3], points: { ...marks("first"), size: 5 }, value: centsValue },
      // Not drawn as lines: the intervals' ends stretch the scale, and the legend names them.
      { label: "95 % from", stroke: "transparent", width: 0, points: { show: false }, value: centsValue },
      { label: "to", stroke: "transparent", width: 0, points: { show: false }, value: centsValue },
    ],
  };
}

function Grouped({ groups, place, options, label, head, name }: {
  groups: readonly Group[];
  place: Place;
  options: () => Omit<uPlot.Options, "width" | "height">;
  label: string;
  head: string;
  name: (group: Group) => string;
}) {
  const { shown, data } = useChartData(groups, place);
  if (shown.length === 0) return <Empty>No trade yet.</Empty>;
  return (
    <Chart
      label={`${label}: ${plural(shown.length, "group")}; the table has all numbers`}
      data={data}
      options={options}
      height={260}
      table={
        <Table
          caption={label}
          cards={false}
          rows={shown}
          rowKey={(group) => group.key}
          rowTestId="group-row"
          columns={[
            { name: head, cell: name },
            { name: "Trades", right: true, cell: (group) => count(group.trades) },
            { name: "Energy, kWh", right: true, cell: (group) => kwh(group.energy_wh) },
            { name: "Paid, c/kWh", right: true, cell: (group) => cents(group.price_micro_per_kwh) },
            { name: "95 % interval", right: true, cell: (group) => (group.low_micro_per_kwh === null ? "too few trades" : `${cents(group.low_micro_per_kwh)} to ${cents(group.high_micro_per_kwh)}`) },
            { name: "Feed-in", right: true, cell: (group) => cents(group.feed_in_micro_per_kwh) },
            { name: "First above reserve", right: true, cell: (group) => cents(group.first_micro_per_kwh) },
          ]}
        />
      }
    />
  );
}

const bidderPlace: Place = (group) => (group.key === "0" ? null : Number(group.key));
const bidderOptions = () =>
  chartOptions(
    axis({ values: (_plot, ticks) => ticks.map((at) => (Number.isInteger(at) ? String(at) : "")), incrs: [1, 2, 5, 10, 20, 50], label: "bidders in the lot" }),
    false,
    "Bidders",
    (at) => String(at),
  );

function ByBidders() {
  const statistics = useStatistics("bidders");
  return (
    <Panel title="Price by number of bidders" aside="bars: 95 % confidence intervals">
      <Answer of={statistics} rows={6}>
        {({ groups }) => (
          <>
            <Sentences of={[byBidders(groups)]} />
            <div className="mt-4">
              <Grouped groups={groups} place={bidderPlace} options={bidderOptions} label="Price by number of bidders" head="Bidders" name={(group) => group.key} />
            </div>
          </>
        )}
      </Answer>
    </Panel>
  );
}

const hourPlace: Place = (group) => Number(group.key) / 1_000_000;
const hourOptions = () => chartOptions(timeAxis(), true, "Hour", (at) => moment(at * 1_000_000, "minute"));

function ByHour() {
  const statistics = useStatistics("hour");
  return (
    <Panel title="Price by hour" aside={`market time, in ${ZONE.replaceAll("_", " ")}`}>
      <Answer of={statistics} rows={6}>
        {({ groups }) => (
          <Grouped groups={groups} place={hourPlace} options={hourOptions} label="Price by hour of market time" head="Hour from" name={(group) => moment(Number(group.key), "minute")} />
        )}
      </Answer>
    </Panel>
  );
}

/** Minutes that the viewer's zone is ahead of UTC at a moment. */
function aheadMinutes(us: number): number {
  return -new Date(us / 1_000).getTimezoneOffset();
}

function clock(minutes: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function ByHourOfDay() {
  const statistics = useStatistics("hour_of_day");
  const today = useNowMs(3_600_000) * 1_000;
  const us = useWorld((world) => (world.marketUs === null ? today : Math.floor(world.marketUs / HOUR_US) * HOUR_US));
  const ahead = aheadMinutes(us);
  // The gateway counts hours of UTC; the viewer's day begins elsewhere.
  const local = useCallback((group: Group) => (((Number(group.key) * 60 + ahead) % 1_440) + 1_440) % 1_440, [ahead]);
  const place = useCallback((group: Group) => local(group) / 60, [local]);
  const options = useCallback(() => chartOptions(axis({ values: (_plot, ticks) => ticks.map((at) => (at < 0 || at > 24 ? "" : clock(Math.round(at * 60)))), incrs: [1, 2, 3, 6] }), false, "Hour from", (at) => clock(Math.round(at * 60))), []);
  return (
    <Panel title="Price by hour of the day" aside={`market time, in ${ZONE.replaceAll("_", " ")} (${offsetName(us / 1_000)})`}>
      <Answer of={statistics} rows={6}>
        {({ groups }) => <Grouped groups={groups} place={place} options={options} label="Price by hour of the day" head="Hour from" name={(group) => clock(local(group))} />}
      </Answer>
    </Panel>
  );
}
