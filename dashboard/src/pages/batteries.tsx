/** All batteries: charge, health, what is promised and what is for sale. */

import { useMemo } from "react";

import type { Battery, Page } from "../contract/rest";
import { query } from "../net/api";
import { useResource } from "../net/resource";
import { useQuery } from "../routing/router";
import { count, kwh, money, plural } from "../text/units";
import { Charge, Health, withStatus } from "../ui/nodes";
import { Answer, Badge, BatteryLink, Empty, Heading, Online, Panel } from "../ui/parts";
import { OnlineFilter, Pager } from "../ui/filters";
import { type Column, Table } from "../ui/table";
import { useWorld } from "../world/store";

const COLUMNS: readonly Column<Battery>[] = [
  { name: "Battery", cell: (battery) => <BatteryLink id={battery.device_id} /> },
  { name: "State", cell: (battery) => <Online online={battery.online} /> },
  { name: "Charge", hint: "stored, of its capacity; the green part is for sale", cell: (battery) => <Charge battery={battery} /> },
  { name: "For sale, kWh", right: true, cell: (battery) => kwh(battery.for_sale_wh) },
  { name: "Promised, kWh", right: true, hint: "reserved for a winner, not confirmed yet", cell: (battery) => kwh(battery.reserved_wh) },
  { name: "To deliver, kWh", right: true, hint: "sold, not delivered yet", cell: (battery) => kwh(battery.to_deliver_wh) },
  { name: "Health", cell: (battery) => <Health health={battery.health} failure={battery.failure} /> },
  { name: "Mechanism", cell: (battery) => <Badge>{battery.mechanism}</Badge> },
  { name: "Trades", right: true, cell: (battery) => count(battery.trades) },
  { name: "Sold, kWh", right: true, cell: (battery) => kwh(battery.sold_wh) },
  { name: "Earned", right: true, cell: (battery) => money(battery.earned_micro) },
];

export default function Batteries() {
  const [filters] = useQuery();
  const signal = useWorld((world) => world.signals.trades + world.signals.nodes);
  const path = query("/batteries", { limit: 100, online: filters.get("online"), cursor: filters.get("cursor") });
  const stored = useResource<Page<Battery>>(path, { signal, everyMs: 3_000 });
  const statuses = useWorld((world) => world.batteries);
  const batteries = useMemo(
    () => (stored.data?.items ?? []).map((battery) => withStatus(battery, statuses.get(battery.device_id))),
    [stored.data, statuses],
  );
  return (
    <>
      <Heading title="Batteries" aside={<OnlineFilter />}>
        Batteries
      </Heading>
      <Panel title="Sellers" pad={false} aside={stored.data === null ? undefined : plural(batteries.length, "battery", "batteries")}>
        <Answer of={stored}>
          {(page) =>
            batteries.length === 0 ? (
              <Empty>
                No battery {filters.get("online") === "true" ? "is online" : "has reported yet"}. One that is started with <code className="font-mono">--gateway</code> and this address appears here.
              </Empty>
            ) : (
              <>
                <Table caption="Batteries" columns={COLUMNS} rows={batteries} rowKey={(battery) => battery.device_id} rowTestId="battery-row" />
                <Pager next={page.next_cursor} />
              </>
            )
          }
        </Answer>
      </Panel>
    </>
  );
}
