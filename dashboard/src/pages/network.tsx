/** Whether the network keeps its deadlines: reply times against their budgets, who is up, who is late, who breaks rules. */

import { type ReactNode, useMemo } from "react";

import type { Aggregator, Battery, LatencyRow, Page, StoredEvent } from "../contract/rest";
import type { SystemMetrics } from "../contract/events";
import { query } from "../net/api";
import { useResource } from "../net/resource";
import { Link, useQuery } from "../routing/router";
import { count, ms, percent, plural } from "../text/units";
import { Answer, Badge, Empty, Figure, Figures, Heading, Moment, Online, Panel } from "../ui/parts";
import { Table } from "../ui/table";
import { useWorld } from "../world/store";

interface NodeRow {
  readonly id: string;
  readonly role: "battery" | "aggregator";
  readonly online: boolean;
  readonly seenUs: number;
  readonly proven: boolean;
  readonly metrics: SystemMetrics | undefined;
}

export default function Network() {
  const [filters, change] = useQuery();
  const node = filters.get("node");
  const rows = useNodes();
  return (
    <>
      <Heading title="Network">Network</Heading>
      <Numbers rows={rows} />
      <div className="grid gap-4">
        <Latencies
          node={node}
          choice={
            <label className="flex items-center gap-2">
              <span>Node</span>
              <select className="control" value={node ?? ""} onChange={(event) => change({ node: event.target.value })} data-testid="filter-node">
                <option value="">all together</option>
                {node !== null && !rows.some((row) => row.id === node) && <option value={node}>{node}</option>}
                {rows.map((row) => (
                  <option key={row.id} value={row.id}>
                    {row.role} {row.id}
                  </option>
                ))}
              </select>
            </label>
          }
        />
        <Nodes rows={rows} />
        <Security />
      </div>
    </>
  );
}

function useNodes(): readonly NodeRow[] {
  const signal = useWorld((world) => world.signals.nodes);
  const batteries = useResource<Page<Battery>>("/batteries?limit=500", { signal });
  const aggregators = useResource<Page<Aggregator>>("/aggregators?limit=500", { signal });
  const metrics = useWorld((world) => world.metrics);
  const sellers = useWorld((world) => world.batteries);
  const buyers = useWorld((world) => world.aggregators);
  return useMemo(() => {
    const row = (role: NodeRow["role"], live: ReadonlyMap<string, { readonly online: boolean }>) => (node: Battery | Aggregator): NodeRow => ({
      id: node.device_id,
      role,
      online: live.get(node.device_id)?.online ?? node.online,
      seenUs: Math.max(node.last_seen_us, metrics.get(node.device_id)?.time_us ?? 0),
      proven: node.proven,
      metrics: metrics.get(node.device_id),
    });
    return [...(batteries.data?.items ?? []).map(row("battery", sellers)), ...(aggregators.data?.items ?? []).map(row("aggregator", buyers))];
  }, [batteries.data, aggregators.data, metrics, sellers, buyers]);
}

function Numbers({ rows }: { rows: readonly NodeRow[] }) {
  const up = rows.filter((row) => row.online).length;
  const sum = (name: "late_messages" | "violations" | "feed_unacked" | "feed_dropped" | "journal_waiting") => rows.reduce((total, row) => total + (row.metrics?.[name] ?? 0), 0);
  return (
    <Figures label="The network in numbers">
      <Figure label="Nodes up" value={`${count(up)} of ${count(rows.length)}`} note={rows.length > up ? plural(rows.length - up, "node is", "nodes are") + " down" : "all of them"} testId="figure-up" />
      <Figure label="Late messages" value={count(sum("late_messages"))} note="since each node started" testId="figure-late" />
      <Figure label="Broken rules" value={count(sum("violations"))} note="since each node started" />
      <Figure label="Feed lag" value={plural(sum("feed_unacked"), "row")} note="not with the gateway yet" testId="figure-lag" />
      <Figure label="Waiting for disks" value={plural(sum("journal_waiting"), "row")} note="rows and bids" />
      <Figure label="Telemetry dropped" value={count(sum("feed_dropped"))} note="no room while offline" />
    </Figures>
  );
}

/** The 99th percentile against its budget; what is beyond it is told by the number too. */
function Budget({ row }: { row: LatencyRow }) {
  const share = Math.min(100, (100 * row.p99_ms) / row.budget_ms);
  const over = row.p99_ms > row.budget_ms;
  return (
    <span className="flex min-w-32 items-center gap-2">
      <span aria-hidden="true" className="h-2 min-w-16 flex-1 overflow-hidden rounded-full border border-line bg-raised">
        <span className={`block h-full ${over ? "bg-bad" : share > 60 ? "bg-feed-in" : "bg-price"}`} style={{ width: `${share}%` }} />
      </span>
      <span className="number w-12 shrink-0 text-right">{percent(row.p99_ms, row.budget_ms)}</span>
    </span>
  );
}

function Latencies({ node, choice }: { node: string | null; choice: ReactNode }) {
  const signal = useWorld((world) => world.signals.metrics);
  const stored = useResource<readonly LatencyRow[]>(query("/latency", { node }), { signal, everyMs: 3_000 });
  const titles = { reply: "Replies: from a Bid or Confirm to its answer", age: "Ages of messages on arrival" } as const;
  return (
    <Panel title="Times against their budgets" aside={choice} pad={false}>
      <Answer of={stored} rows={6}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty>No node has reported times yet.</Empty>
          ) : (
            (["reply", "age"] as const).map((what) => (
              <section key={what} aria-label={titles[what]} className="mt-2">
                <h3 className="px-4 text-sm font-medium text-muted">{titles[what]}</h3>
                <LatencyTable caption={titles[what]} rows={rows.filter((row) => row.what === what)} />
              </section>
            ))
          )
        }
      </Answer>
    </Panel>
  );
}

/** DEVICE_FAILURE as the wire's documents write it. */
function wireName(message: string): string {
  const words = message.toLowerCase().split("_");
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

function LatencyTable({ caption, rows }: { caption: string; rows: readonly LatencyRow[] }) {
  if (rows.length === 0) return <Empty>None yet.</Empty>;
  return (
    <Table
      caption={caption}
      rows={rows}
      rowKey={(row) => `${row.what}/${row.message}`}
      rowTestId="latency-row"
      columns={[
        { name: "Message", cell: (row) => wireName(row.message) },
        { name: "Count", right: true, cell: (row) => count(row.count) },
        { name: "p50", right: true, hint: "half of them were faster", cell: (row) => ms(row.p50_ms) },
        { name: "p90", right: true, cell: (row) => ms(row.p90_ms) },
        { name: "p99", right: true, cell: (row) => ms(row.p99_ms) },
        { name: "Worst", right: true, cell: (row) => ms(row.worst_ms) },
        { name: "Budget", right: true, cell: (row) => ms(row.budget_ms) },
        { name: "p99 of budget", cell: (row) => <Budget row={row} /> },
        { name: "Over budget", right: true, cell: (row) => (row.over_budget === 0 ? <span className="text-muted">0</span> : <Badge tone="bad">{count(row.over_budget)}</Badge>) },
      ]}
    />
  );
}

function Warn({ value, tone = "warn" }: { value: number | undefined; tone?: "warn" | "bad" }) {
  if (value === undefined) return <>–</>;
  return value === 0 ? <span className="text-muted">0</span> : <Badge tone={tone}>{count(value)}</Badge>;
}

function Nodes({ rows }: { rows: readonly NodeRow[] }) {
  return (
    <Panel title="Nodes" pad={false} aside={plural(rows.length, "node")}>
      {rows.length === 0 ? (
        <Empty>No node has published anything yet.</Empty>
      ) : (
        <Table
          caption="Nodes"
          rows={rows}
          rowKey={(row) => row.id}
          rowTestId="node-row"
          columns={[
            {
              name: "Node",
              cell: (row) => (
                <Link to={`/${row.role === "battery" ? "batteries" : "aggregators"}/${row.id}`} className="link">
                  {row.role} {row.id}
                </Link>
              ),
            },
            { name: "State", cell: (row) => <Online online={row.online} /> },
            { name: "Identity", cell: (row) => (row.proven ? <Badge tone="good">proven</Badge> : <Badge>plain</Badge>) },
            { name: "Heard", cell: (row) => <Moment us={row.seenUs} shape="time" /> },
            { name: "Late messages", right: true, cell: (row) => <Warn value={row.metrics?.late_messages} /> },
            { name: "Broken rules", right: true, cell: (row) => <Warn value={row.metrics?.violations} tone="bad" /> },
            { name: "Feed lag, rows", right: true, cell: (row) => count(row.metrics?.feed_unacked) },
            { name: "Waiting for disk", right: true, cell: (row) => count(row.metrics?.journal_waiting) },
            { name: "Dropped", right: true, cell: (row) => <Warn value={row.metrics?.feed_dropped} /> },
          ]}
        />
      )}
    </Panel>
  );
}

function Security() {
  const signal = useWorld((world) => world.signals.security);
  const stored = useResource<Page<StoredEvent>>("/events?type=SecurityEvent&limit=50", { signal });
  const text = (value: unknown) => (typeof value === "string" ? value : "–");
  return (
    <Panel title="Security events" pad={false} aside="somebody broke a rule about identity or promises">
      <Answer of={stored}>
        {(page) =>
          page.items.length === 0 ? (
            <Empty>None. That is how it should be.</Empty>
          ) : (
            <Table
              caption="Security events, newest first"
              rows={page.items}
              rowKey={(event) => String(event.seq)}
              rowTestId="security-row"
              columns={[
                { name: "Time", cell: (event) => <Moment us={event.time_us} shape="full" /> },
                { name: "Reported by", cell: (event) => event.node },
                { name: "What", cell: (event) => <Badge tone="bad">{text(event.event["what"]).replaceAll("_", " ")}</Badge> },
                { name: "In the name of", hint: "a forged message names somebody else", cell: (event) => text(event.event["device"]) },
              ]}
            />
          )
        }
      </Answer>
    </Panel>
  );
}
