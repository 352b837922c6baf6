/** All buyers: how they bid, what they want, how often they win and what they spend. */

import { useMemo } from "react";

import type { Aggregator, Page } from "../contract/rest";
import { query } from "../net/api";
import { useResource } from "../net/resource";
import { useQuery } from "../routing/router";
import { count, kwh, money, plural } from "../text/units";
import { Demand, winRate, withBuyerStatus } from "../ui/nodes";
import { AggregatorLink, Answer, Badge, Empty, Heading, Online, Panel } from "../ui/parts";
import { OnlineFilter, Pager } from "../ui/filters";
import { type Column, Table } from "../ui/table";
import { useWorld } from "../world/store";

const COLUMNS: readonly Column<Aggregator>[] = [
  { name: "Aggregator", cell: (buyer) => <AggregatorLink id={buyer.device_id} /> },
  { name: "State", cell: (buyer) => <Online online={buyer.online} /> },
  { name: "Strategy", cell: (buyer) => <Badge>{buyer.strategy}</Badge> },
  { name: "Demand met", cell: (buyer) => <Demand bought={buyer.bought_wh} demand={buyer.demand_wh} /> },
  { name: "Exposed, kWh", right: true, hint: "in promises without an answer; open bids are secret", cell: (buyer) => kwh(buyer.exposed_wh) },
  { name: "Lots won", right: true, hint: "of the closed lots that it bid for", cell: (buyer) => winRate(buyer) },
  { name: "Trades", right: true, cell: (buyer) => count(buyer.trades) },
  { name: "Spent", right: true, cell: (buyer) => money(buyer.paid_micro) },
];

export default function Aggregators() {
  const [filters] = useQuery();
  const signal = useWorld((world) => world.signals.trades + world.signals.nodes + world.signals.lots);
  const path = query("/aggregators", { limit: 100, online: filters.get("online"), cursor: filters.get("cursor") });
  const stored = useResource<Page<Aggregator>>(path, { signal, everyMs: 3_000 });
  const statuses = useWorld((world) => world.aggregators);
  const buyers = useMemo(
    () => (stored.data?.items ?? []).map((buyer) => withBuyerStatus(buyer, statuses.get(buyer.device_id))),
    [stored.data, statuses],
  );
  return (
    <>
      <Heading title="Aggregators" aside={<OnlineFilter />}>
        Aggregators
      </Heading>
      <Panel title="Buyers" pad={false} aside={stored.data === null ? undefined : plural(buyers.length, "aggregator")}>
        <Answer of={stored}>
          {(page) =>
            buyers.length === 0 ? (
              <Empty>
                No aggregator {filters.get("online") === "true" ? "is online" : "has reported yet"}. One that is started with <code className="font-mono">--gateway</code> and this address appears here.
              </Empty>
            ) : (
              <>
                <Table caption="Aggregators" columns={COLUMNS} rows={buyers} rowKey={(buyer) => buyer.device_id} rowTestId="aggregator-row" />
                <Pager next={page.next_cursor} />
              </>
            )
          }
        </Answer>
      </Panel>
    </>
  );
}
