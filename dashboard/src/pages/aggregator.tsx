/** One buyer: what it wants, how often it wins, what it pays. */

import type { Aggregator as AggregatorModel, Page, Statistics, Trade } from "../contract/rest";
import { useResource } from "../net/resource";
import { Link } from "../routing/router";
import { average, count, energy, money, percent, plural, price } from "../text/units";
import { winRate, withBuyerStatus } from "../ui/nodes";
import { Answer, Badge, Empty, Facts, Figure, Figures, Heading, Hex, Moment, Online, Panel } from "../ui/parts";
import { PriceChart } from "../ui/price_chart";
import { merged } from "../ui/merge";
import { TradesTable } from "../ui/trades";
import { useWorld } from "../world/store";

const CHARTED = 300;

export default function Aggregator({ id }: { id: string }) {
  const signals = useWorld((world) => world.signals);
  const stored = useResource<AggregatorModel>(`/aggregators/${id}`, { signal: signals.trades + signals.nodes + signals.lots });
  const status = useWorld((world) => world.aggregators.get(id));
  const buyer = stored.data === null ? null : withBuyerStatus(stored.data, status);
  return (
    <>
      <Heading title={`Aggregator ${id}`} aside={buyer !== null && <Online online={buyer.online} />}>
        Aggregator {id}
      </Heading>
      {buyer === null ? (
        <div className="panel">
          <Answer of={stored}>{() => null}</Answer>
        </div>
      ) : (
        <>
          <Numbers buyer={buyer} signal={signals.trades} />
          <div className="grid gap-4 lg:grid-cols-3">
            <Trades id={id} signal={signals.trades} />
            <Panel title="Node" className="self-start lg:order-first">
              <Facts
                rows={[
                  ["Strategy", <Badge key="s">{buyer.strategy}</Badge>],
                  ["Demand", energy(buyer.demand_wh)],
                  ["Exposed", energy(buyer.exposed_wh)],
                  ["Open promises", count(status?.promises_open)],
                  ["Batteries connected", count(status?.batteries)],
                  ["Last status", <Moment key="t" us={buyer.status_us} shape="time" />],
                  ["Seen first", <Moment key="f" us={buyer.first_seen_us} />],
                  ["Key", buyer.key === null ? "plain: unproven" : <Hex key="k">{buyer.key}</Hex>],
                ]}
              />
            </Panel>
          </div>
        </>
      )}
    </>
  );
}

function Numbers({ buyer, signal }: { buyer: AggregatorModel; signal: number }) {
  const statistics = useResource<Statistics>(`/statistics?by=all&aggregator=${buyer.device_id}`, { signal });
  const total = statistics.data?.total;
  return (
    <Figures label={`Aggregator ${buyer.device_id} in numbers`}>
      <Figure label="Bought" value={energy(buyer.bought_wh)} note={buyer.bought_wh === null ? undefined : `${percent(buyer.bought_wh, buyer.demand_wh)} of its demand`} />
      <Figure label="Demand" value={energy(buyer.demand_wh)} />
      <Figure label="Spent" value={money(buyer.paid_micro)} note={plural(buyer.trades, "trade")} />
      <Figure label="Average price" value={average(total?.price_micro_per_kwh)} note={`feed-in ${price(total?.feed_in_micro_per_kwh)}`} />
      <Figure label="Lots won" value={buyer.lots_bid === 0 ? "–" : percent(buyer.lots_won, buyer.lots_bid)} note={winRate(buyer)} />
      <Figure label="Exposed" value={energy(buyer.exposed_wh)} note="in promises without an answer" />
    </Figures>
  );
}

function Trades({ id, signal }: { id: string; signal: number }) {
  const stored = useResource<Page<Trade>>(`/trades?aggregator=${id}&limit=${CHARTED}`, { signal, everyMs: 5_000 });
  const live = useWorld((world) => world.trades);
  return (
    <div className="grid min-w-0 gap-4 lg:col-span-2">
      <Answer of={stored}>
        {(page) => {
          const trades = merged(page.items, live.filter((trade) => trade.aggregator === id), CHARTED);
          return (
            <>
              <Panel title="What it paid" aside={trades.length > 0 ? `its newest ${plural(trades.length, "trade")}, in market time` : undefined}>
                {trades.length === 0 ? <Empty>It has bought nothing yet.</Empty> : <PriceChart trades={trades} />}
              </Panel>
              {trades.length > 0 && (
                <Panel
                  title="Trades"
                  pad={false}
                  aside={
                    <Link to={`/trades?aggregator=${id}`} className="link">
                      All its trades
                    </Link>
                  }
                >
                  <TradesTable trades={trades.slice(0, 10)} of="aggregator" caption={`Last trades of aggregator ${id}`} />
                </Panel>
              )}
            </>
          );
        }}
      </Answer>
    </div>
  );
}
