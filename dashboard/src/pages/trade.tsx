/** One trade from bid to chain: what each journal says, every message field by field, and whether it is true. */

import { type ReactNode, useMemo } from "react";

import type { Evidence, FrameRole, TradeDetail, TradeFrame } from "../contract/rest";
import { useResource } from "../net/resource";
import { type Message, decodeMessage } from "../protocol/record";
import { Link } from "../routing/router";
import { energy, money, percent, price, signedPrice } from "../text/units";
import { moment } from "../text/time";
import { Verify } from "../ui/checks";
import { Decoded } from "../ui/decoded";
import { AggregatorLink, Answer, Badge, BatteryLink, Delivery, Empty, Facts, Figure, Figures, Heading, Hex, Moment, Panel, Settlement } from "../ui/parts";
import { useWorld } from "../world/store";
import { keyOf } from "../world/world";

const NAMES: Readonly<Record<FrameRole, string>> = {
  bid: "Bid",
  price_setter: "Bid that set the price",
  accept: "Accept",
  confirm: "Confirm",
  answer: "Terminate",
};

export default function Trade({ battery, lot }: { battery: string; lot: string }) {
  const signals = useWorld((world) => world.signals);
  const stored = useResource<TradeDetail>(`/trades/${keyOf(battery, lot)}`, { signal: signals.settlements + signals.trades, everyMs: 1_000 });
  const trade = stored.data;
  return (
    <>
      <Heading
        title={`Trade ${battery}/${lot}`}
        aside={
          trade !== null && (
            <Link to={`/lots/${keyOf(battery, trade.auction_id)}`} className="link text-sm">
              How its lot went
            </Link>
          )
        }
      >
        Trade {battery}/{lot}
      </Heading>
      {trade === null ? (
        <div className="panel">
          <Answer of={stored}>{() => null}</Answer>
        </div>
      ) : (
        <>
          <Numbers trade={trade} />
          <div className="grid gap-4">
            <Verify key={keyOf(trade.battery, trade.lot_id)} trade={trade} />
            <div className="grid gap-4 lg:grid-cols-3">
              <Timeline rows={trade.rows} className="lg:col-span-2" />
              <Panel title="The trade">
                <TradeFacts trade={trade} />
              </Panel>
            </div>
            <Messages frames={trade.frames} />
          </div>
        </>
      )}
    </>
  );
}

function Numbers({ trade }: { trade: TradeDetail }) {
  const above = trade.feed_in_micro_per_kwh === null ? null : trade.price_micro_per_kwh - trade.feed_in_micro_per_kwh;
  return (
    <Figures label="The trade in numbers">
      <Figure label="Energy" value={energy(trade.energy_wh)} />
      <Figure label="Price" value={price(trade.price_micro_per_kwh)} note={`bid ${price(trade.bid_micro_per_kwh)}`} />
      <Figure label="Paid" value={money(trade.paid_micro)} />
      <Figure
        label="Above feed-in"
        value={above === null ? "–" : signedPrice(above)}
        note={above === null || trade.feed_in_micro_per_kwh === null ? undefined : `feed-in ${price(trade.feed_in_micro_per_kwh)}, ${percent(above, trade.feed_in_micro_per_kwh)}`}
      />
      <Figure label="Delivery" value={<Delivery state={trade.delivery} />} note={trade.delivered_wh === null ? undefined : energy(trade.delivered_wh)} testId="trade-delivery" />
      <Figure label="Settlement" value={<Settlement state={trade.settlement} />} testId="trade-settlement" />
    </Figures>
  );
}

function TradeFacts({ trade }: { trade: TradeDetail }) {
  return (
    <Facts
      rows={[
        ["Battery", <BatteryLink key="b" id={trade.battery} />],
        ["Aggregator", <AggregatorLink key="a" id={trade.aggregator} />],
        ["Confirmed", <Moment key="c" us={trade.time_us} shape="full" />],
        ["Market time", <Moment key="m" us={trade.market_us} />],
        ["Bidders in its lot", trade.bidders === null ? "–" : String(trade.bidders)],
        ["First bid of its lot", price(trade.first_micro_per_kwh)],
        ["lot_id", <Hex key="l">{trade.lot_id}</Hex>],
        ["Lot that was bid for", <Hex key="u">{trade.auction_id}</Hex>],
        ["Market (network_id)", trade.network_id === null ? "plain: nobody signs" : <Hex key="n">{trade.network_id}</Hex>],
        ["Transaction", trade.signature === null ? "none" : <Hex key="t">{trade.signature}</Hex>],
      ]}
    />
  );
}

const STEPS: Readonly<Record<string, string>> = {
  "promise reserved": "The battery reserved the energy, then sent its Accept",
  "promise confirming": "The aggregator wrote down that it confirms, then sent its Confirm",
  "promise confirmed": "The battery has the Confirm: the promise binds",
  "promise finished": "The aggregator has the answer: the trade stands",
  "promise released": "The promise ended without a trade",
  "promise unresolved": "The aggregator never got an answer",
  "trade confirmed": "The trade",
  "settlement confirmed": "Its payment is due",
  "settlement settling": "The transaction is signed and on its way",
  "settlement refused": "The chain refused the transaction",
  "settlement held": "The money is set aside until the dispute window is over",
  "settlement disputed": "The buyer disputes it",
  "settlement defaulted": "The buyer’s escrow could not pay",
  "settlement settled": "Paid: finalized on the chain, and read back",
  "settlement refunded": "The buyer has its money back",
  "energy pending": "Delivery began",
  "energy delivered": "Delivered",
  "energy short": "Less than sold was delivered",
  "lot reserved": "Its lot closed with a winner",
  "answer answered": "The battery wrote down its answer to the Confirm, then sent it",
};

function Timeline({ rows, className }: { rows: readonly Evidence[]; className: string }) {
  const first = rows[0]?.time_us ?? 0;
  return (
    <Panel title="From bid to chain" className={className} aside="every journal row about it, of both sides">
      {rows.length === 0 ? (
        <Empty>No journal row is stored.</Empty>
      ) : (
        <ol className="relative ml-1.5 border-l-2 border-line" data-testid="timeline">
          {rows.map((row) => (
            <Step key={`${row.node}/${row.seq}`} row={row} firstUs={first} />
          ))}
        </ol>
      )}
    </Panel>
  );
}

function Step({ row, firstUs }: { row: Evidence; firstUs: number }) {
  const after = (row.time_us - firstUs) / 1_000;
  return (
    <li className="relative pb-3 pl-5 last:pb-0" data-testid="timeline-row" data-kind={`${row.kind} ${row.state}`}>
      <span aria-hidden="true" className="absolute top-1.5 -left-[7px] size-3 rounded-full border-2 border-accent bg-surface" />
      <details>
        <summary className="flex flex-wrap items-baseline gap-x-2 text-sm">
          <span className="font-medium">{STEPS[`${row.kind} ${row.state}`] ?? `${row.kind} ${row.state}`}</span>
          <span className="number text-xs text-muted">
            {moment(row.time_us, "full")} · {after <= 0 ? "0 ms" : after < 10_000 ? `+${after.toFixed(after < 100 ? 1 : 0)} ms` : `+${(after / 1_000).toFixed(1)} s`} · node {row.node}
          </span>
        </summary>
        <div className="mt-2 overflow-x-auto rounded-lg bg-raised p-3" role="region" aria-label={`Row ${row.seq} of node ${row.node}`} tabIndex={0}>
          <Facts
            rows={[
              ["row", `${row.seq}: ${row.kind}, ${row.state}`],
              ["hash", <Hex key="h">{row.hash}</Hex>],
              ...Object.entries(row.body).map(([name, value]): readonly [string, ReactNode] => [
                name,
                typeof value === "string" && value.length > 40 ? <Hex key={name}>{value}</Hex> : value === null ? "–" : String(value),
              ]),
            ]}
          />
        </div>
      </details>
    </li>
  );
}

interface Sent {
  readonly frame: TradeFrame;
  readonly roles: readonly FrameRole[];
  readonly by: readonly string[];
}

/** Each message once, with all who published it and all that it was. */
function grouped(frames: readonly TradeFrame[]): readonly Sent[] {
  const all = new Map<string, Sent>();
  for (const frame of frames) {
    const known = all.get(frame.raw);
    const add = <T,>(list: readonly T[], one: T) => (list.includes(one) ? list : [...list, one]);
    all.set(frame.raw, { frame: known?.frame ?? frame, roles: add(known?.roles ?? [], frame.what), by: add(known?.by ?? [], frame.by) });
  }
  return [...all.values()];
}

function Messages({ frames }: { frames: readonly TradeFrame[] }) {
  return (
    <Panel title="Messages as they were sent" aside={frames.some((frame) => frame.key !== null) ? "signed records of 212 bytes" : "plain frames of 84 bytes, which nobody signed"}>
      {frames.length === 0 ? (
        <Empty>No message of it is stored: its nodes are in a plain market, whose frames prove nothing, or published none.</Empty>
      ) : (
        <div className="grid gap-3">
          {grouped(frames).map((sent) => (
            <OneMessage key={sent.frame.raw} sent={sent} />
          ))}
        </div>
      )}
    </Panel>
  );
}

function read(raw: string): Message | string {
  try {
    return decodeMessage(raw);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function OneMessage({ sent: { frame, roles, by } }: { sent: Sent }) {
  const message = useMemo(() => read(frame.raw), [frame.raw]);
  return (
    <details className="min-w-0 rounded-lg border border-line" data-testid="frame" data-what={frame.what}>
      <summary className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2 text-sm">
        <span className="font-medium">{roles.length > 1 ? "Bid, which also set the price" : NAMES[frame.what]}</span>
        <span className="text-muted">published by {by.join(" and ")}</span>
        <Badge tone={frame.key === null ? "plain" : "info"}>{frame.key === null ? "not signed" : "signed"}</Badge>
      </summary>
      <div className="border-t border-line">
        {typeof message === "string" ? (
          <p className="px-3 py-3 text-sm text-bad wrap-anywhere">It cannot be read: {message}</p>
        ) : (
          <Decoded message={message} caption={`${NAMES[frame.what]}, field by field`} />
        )}
        <div className="border-t border-line px-3 py-2 text-xs text-muted">
          <p>As sent, {frame.raw.length / 2} bytes:</p>
          <Hex>{frame.raw}</Hex>
          {frame.key !== null && (
            <p className="mt-2">
              Registered key, hex: <Hex>{frame.key}</Hex>
            </p>
          )}
        </div>
      </div>
    </details>
  );
}
