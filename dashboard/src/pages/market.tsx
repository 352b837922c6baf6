/** The market now: open lots, the last trades, and what they pay against the grid. */

import { useMemo, useState } from "react";

import type { Overview, Page, Statistics, Trade } from "../contract/rest";
import { useResource } from "../net/resource";
import { Link } from "../routing/router";
import { average, count, energy, money, percent, plural, signedPrice } from "../text/units";
import { OpenLots } from "../ui/lots";
import { Answer, Empty, Figure, Figures, Heading, Panel } from "../ui/parts";
import { PriceChart } from "../ui/price_chart";
import { type ListedTrade, merged } from "../ui/merge";
import { TradesTable } from "../ui/trades";
import { useConnection, useWorld } from "../world/store";
import type { LiveLot } from "../world/world";

/** Open lots that are drawn; more of them are counted. */
const MOST_LOTS = 40;
const CHARTED = 400;
const LISTED = 12;

/** Lots with bids first, then the one that opened last. */
function order(a: LiveLot, b: LiveLot): number {
  const bid = (lot: LiveLot) => (lot.standing_micro_per_kwh !== null || lot.closes_us !== null ? 1 : 0);
  return bid(b) - bid(a) || b.opened_us - a.opened_us;
}

export default function Market() {
  const signals = useWorld((world) => world.signals);
  const stored = useResource<Page<Trade>>(`/trades?limit=${CHARTED}`, { signal: signals.trades, everyMs: 15_000 });
  const live = useWorld((world) => world.trades);
  const trades = useMemo(() => merged(stored.data?.items ?? [], live, CHARTED), [stored.data, live]);

  return (
    <>
      <Heading title="Market">Market</Heading>
      <Numbers signal={signals.trades + signals.settlements + signals.nodes} />
      <Lots />
      <div className="mt-4 grid gap-4">
        <Panel title="Price against feed-in" aside={trades.length > 0 ? `each point a trade, the newest ${trades.length}, in market time` : undefined}>
          <Answer of={stored} rows={6}>
            {() => (trades.length === 0 ? <Empty>No trade yet. The first one appears here by itself.</Empty> : <PriceChart trades={trades} />)}
          </Answer>
        </Panel>
        <LastTrades trades={trades} stored={stored} />
      </div>
    </>
  );
}

function LastTrades({ trades, stored }: { trades: readonly ListedTrade[]; stored: ReturnType<typeof useResource<Page<Trade>>> }) {
  const [openedUs] = useState(() => Date.now() * 1_000);
  return (
    <Panel
      title="Last trades"
      pad={false}
      aside={
        <Link to="/trades" className="link">
          All trades
        </Link>
      }
    >
      <Answer of={stored}>
        {() =>
          trades.length === 0 ? (
            <Empty>Nobody has bought anything yet.</Empty>
          ) : (
            <TradesTable trades={trades.slice(0, LISTED)} caption="Last trades, newest first" freshFromUs={openedUs} />
          )
        }
      </Answer>
    </Panel>
  );
}

function Lots() {
  const lots = useWorld((world) => world.lots);
  const known = useConnection((connection) => connection.known);
  const shown = useMemo(() => [...lots.values()].toSorted(order), [lots]);
  const more = shown.length - MOST_LOTS;
  return (
    <Panel title="Open lots" pad={false} aside={known ? plural(shown.length, "lot") : undefined}>
      {shown.length === 0 ? (
        <Empty>{known ? "No lot is open. A battery opens one when it has energy to sell." : "Waiting for the stream…"}</Empty>
      ) : (
        <OpenLots lots={shown.slice(0, MOST_LOTS)} caption="Open lots, those with bids first" />
      )}
      {more > 0 && <p className="px-4 py-2 text-sm text-muted">and {plural(more, "lot")} more, on the pages of their batteries</p>}
    </Panel>
  );
}

function up(statuses: ReadonlyMap<string, { readonly online: boolean }>): number {
  return [...statuses.values()].filter((status) => status.online).length;
}

function Numbers({ signal }: { signal: number }) {
  const totals = useWorld((world) => world.totals);
  const overview = useResource<Overview>("/overview", { signal, everyMs: 3_000 });
  const statistics = useResource<Statistics>("/statistics?by=all", { signal, everyMs: 3_000 });
  const told = overview.data;
  const now = totals ?? (told === null ? null : { trades: told.trades, energy_wh: told.sold_wh, paid_micro: told.paid_micro, settled: told.settled, settled_micro: told.settled_micro });
  const total = statistics.data?.total;
  const batteries = useWorld((world) => up(world.batteries));
  const aggregators = useWorld((world) => up(world.aggregators));
  const paid = now === null || now.energy_wh === 0 ? null : Math.round((now.paid_micro * 1_000) / now.energy_wh);
  const feedIn = total?.feed_in_micro_per_kwh ?? null;
  return (
    <Figures label="The market in numbers">
      <Figure label="Trades" value={count(now?.trades)} note={told === null ? undefined : `of ${plural(told.lots, "lot")} with bids`} testId="figure-trades" />
      <Figure label="Energy sold" value={energy(now?.energy_wh)} testId="figure-energy" />
      <Figure label="Paid to batteries" value={money(now?.paid_micro)} testId="figure-paid" />
      <Figure
        label="Price, by volume"
        value={average(paid)}
        note={paid === null || total === undefined || total.trades === 0 ? undefined : feedIn === null ? "no feed-in to compare" : `${signedPrice(paid - feedIn)} against feed-in (${percent(paid - feedIn, feedIn)})`}
        testId="figure-price"
      />
      <Figure label="Settled" value={now === null ? "–" : `${count(now.settled)} of ${count(now.trades)}`} note={now === null ? undefined : money(now.settled_micro)} testId="figure-settled" />
      <Figure
        label="Online"
        value={totals === null ? "–" : plural(batteries, "battery", "batteries")}
        note={totals === null ? undefined : plural(aggregators, "aggregator")}
        testId="figure-online"
      />
    </Figures>
  );
}
