/** All trades: searched, filtered, page by page, and as CSV. What is seen stands in the URL. */

import { type SubmitEvent, useMemo, useState } from "react";

import type { Page, Trade } from "../contract/rest";
import { query } from "../net/api";
import { useResource } from "../net/resource";
import { go, useQuery } from "../routing/router";
import { ZONE, fromLocalField, toLocalField } from "../text/time";
import { plural } from "../text/units";
import { Field, Pager } from "../ui/filters";
import { Answer, Empty, Heading, Panel } from "../ui/parts";
import { TradesTable } from "../ui/trades";
import { useWorld } from "../world/store";

const NAMES = ["battery", "aggregator", "settlement", "delivery", "min_micro_per_kwh", "from_us", "to_us"] as const;
const SETTLEMENTS = ["none", "confirmed", "settling", "refused", "defaulted", "held", "disputed", "settled", "refunded"] as const;
const DELIVERIES = ["pending", "delivered", "short"] as const;
const LIMIT = 50;

export default function Trades() {
  const [filters] = useQuery();
  const asked = useMemo(() => Object.fromEntries(NAMES.map((name) => [name, filters.get(name)])), [filters]);
  const cursor = filters.get("cursor");
  const signals = useWorld((world) => world.signals);
  // A page further back does not change when trades come; only the first one is read again.
  const signal = cursor === null ? signals.trades + signals.settlements : 0;
  const stored = useResource<Page<Trade>>(query("/trades", { ...asked, limit: LIMIT, cursor }), { signal, everyMs: 3_000 });
  const filtered = NAMES.some((name) => filters.has(name));
  return (
    <>
      <Heading title="Trades" aside={<Search />}>
        Trades
      </Heading>
      <Filters key={filters.toString()} />
      <Panel
        title={filtered ? "Trades that fit" : "All trades"}
        pad={false}
        aside={
          <>
            {stored.data !== null && <span className="mr-4">{plural(stored.data.items.length, "trade")} on this page, newest first</span>}
            <a className="link" href={`/api/v1${query("/trades", { ...asked, format: "csv" })}`} download="trades.csv" data-testid="csv">
              Download as CSV
            </a>
          </>
        }
      >
        <Answer of={stored} rows={8}>
          {(page) => (
            <>
              {page.items.length > 0 && <TradesTable trades={page.items} caption="Trades, newest first" />}
              {page.items.length === 0 && (
                <Empty>
                  {page.next_cursor !== null
                    ? "None of those that were looked at fits; the next page looks further back."
                    : filtered
                      ? "No trade fits these filters."
                      : "No trade yet. The first one appears here by itself."}
                </Empty>
              )}
              <Pager next={page.next_cursor} />
            </>
          )}
        </Answer>
      </Panel>
    </>
  );
}

/** Straight to one trade: its battery and its lot. */
function Search() {
  const [wrong, setWrong] = useState(false);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const said = new FormData(event.currentTarget).get("trade");
    const found = /^\s*(\d{1,20})\s*(?:[/ ]\s*(\d{1,20})\s*)?$/.exec(typeof said === "string" ? said : "");
    setWrong(found === null);
    const [, battery, lot] = found ?? [];
    if (battery === undefined) return;
    go(lot === undefined ? `/trades?battery=${battery}` : `/trades/${battery}/${lot}`);
  };
  return (
    <form role="search" onSubmit={submit} className="flex min-w-0 flex-1 flex-wrap items-center justify-end gap-2">
      <input
        name="trade"
        aria-label="Find: a battery's id, or battery/lot"
        aria-invalid={wrong}
        aria-describedby={wrong ? "search-wrong" : undefined}
        placeholder="battery, or battery/lot"
        className="control w-60"
        data-testid="search"
      />
      <button type="submit" className="button">
        Find
      </button>
      <p role="alert" id="search-wrong" className="w-full text-right text-sm text-bad empty:hidden">
        {wrong ? "Expected a number, or two with a slash: 101 or 101/1590000000000000" : ""}
      </p>
    </form>
  );
}

function Choice({ name, label, values }: { name: string; label: string; values: readonly string[] }) {
  const [filters, change] = useQuery();
  return (
    <Field name={label}>
      <select className="control w-full" value={filters.get(name) ?? ""} onChange={(event) => change({ [name]: event.target.value, cursor: null })} data-testid={`filter-${name}`}>
        <option value="">all</option>
        {values.map((value) => (
          <option key={value} value={value}>
            {value === "none" ? "on no chain" : value}
          </option>
        ))}
      </select>
    </Field>
  );
}

/** A field whose value counts once it is whole: on Enter, or when it is left. */
function Text({ name, label, type = "text", wide = false, read, show, hint }: {
  name: string;
  label: string;
  type?: string;
  wide?: boolean;
  read: (text: string) => string | null;
  show: (value: string | null) => string;
  hint?: string;
}) {
  const [filters, change] = useQuery();
  const [text, setText] = useState(() => show(filters.get(name)));
  const take = () => {
    const value = read(text.trim());
    if (value !== filters.get(name)) change({ [name]: value, cursor: null });
  };
  return (
    <Field name={label} wide={wide}>
      <input
        className="control w-full"
        type={type}
        value={text}
        placeholder={hint}
        inputMode={type === "text" ? "decimal" : undefined}
        onChange={(event) => setText(event.target.value)}
        onBlur={take}
        onKeyDown={(event) => {
          if (event.key === "Enter") take();
        }}
        data-testid={`filter-${name}`}
      />
    </Field>
  );
}

const id = (text: string) => (/^(0|[1-9]\d{0,19})$/.test(text) ? text : null);
const cents = (text: string) => (/^\d{1,5}([.,]\d{1,4})?$/.test(text) ? String(Math.round(Number(text.replace(",", ".")) * 10_000)) : null);
const plain = (value: string | null) => value ?? "";

function Filters() {
  const [filters, change] = useQuery();
  const any = NAMES.some((name) => filters.has(name));
  const none = Object.fromEntries([...NAMES, "cursor"].map((name) => [name, null]));
  return (
    <section aria-label="Filters" className="panel mb-4 grid grid-cols-2 items-end gap-3 p-4 sm:grid-cols-4 lg:grid-cols-10">
      <Text name="battery" label="Battery" read={id} show={plain} hint="all" />
      <Text name="aggregator" label="Aggregator" read={id} show={plain} hint="all" />
      <Choice name="settlement" label="Settlement" values={SETTLEMENTS} />
      <Choice name="delivery" label="Delivery" values={DELIVERIES} />
      <Text name="min_micro_per_kwh" label="At least, c/kWh" read={cents} show={(value) => (value === null ? "" : String(Number(value) / 10_000))} hint="any" />
      <Text name="from_us" label="Confirmed from" type="datetime-local" wide read={fromLocalField} show={toLocalField} />
      <Text name="to_us" label="Confirmed before" type="datetime-local" wide read={fromLocalField} show={toLocalField} />
      <button type="button" className="button" disabled={!any} onClick={() => change(none)} data-testid="filters-clear">
        Clear
      </button>
      <p className="col-span-full text-xs text-muted">Confirmation times are the clock’s, in {ZONE.replaceAll("_", " ")}.</p>
    </section>
  );
}
