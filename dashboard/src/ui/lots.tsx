/** Lots that can be bid for, as far as they are public. */

import { Link } from "../routing/router";
import { cents, energy, plural, price } from "../text/units";
import { duration } from "../text/time";
import { type LiveLot, keyOf } from "../world/world";
import { useGatewayUs } from "./clock";
import { Badge, BatteryLink } from "./parts";
import { type Column, Table } from "./table";

const SEALED: ReadonlySet<string> = new Set(["first-price", "vickrey", "uniform"]);

/** Whether bids of such a lot are secret until it closes. */
export function isSealed(mechanism: string): boolean {
  return SEALED.has(mechanism);
}

/** When a lot closes unless a better bid comes, counted down by the gateway's clock. */
export function Closes({ lot }: { lot: LiveLot }) {
  const now = useGatewayUs(250);
  if (lot.closes_us === null) return <span className="text-muted">after the first bid</span>;
  const left = lot.closes_us - now;
  return <span className="whitespace-nowrap">{left > 0 ? `in ${duration(left)}` : "closing"}</span>;
}

const WIDTH = 120;
const HEIGHT = 28;

/** How the standing bid rose, as steps. Its numbers stand beside it. */
export function Rise({ lot }: { lot: LiveLot }) {
  const steps = lot.steps;
  const [first, last] = [steps[0], steps.at(-1)];
  if (first === undefined || last === undefined || steps.length < 2) return null;
  const low = Math.min(lot.reserve_micro_per_kwh ?? first.micro_per_kwh, first.micro_per_kwh);
  const span = Math.max(1, last.micro_per_kwh - low);
  const long = Math.max(1, last.time_us - lot.opened_us);
  const x = (us: number) => (((us - lot.opened_us) / long) * (WIDTH - 4) + 2).toFixed(1);
  const y = (micro: number) => (HEIGHT - 3 - ((micro - low) / span) * (HEIGHT - 6)).toFixed(1);
  const path = steps.map((step, at) => (at === 0 ? `M${x(step.time_us)} ${y(step.micro_per_kwh)}` : `H${x(step.time_us)}V${y(step.micro_per_kwh)}`));
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} className="h-7 w-30 text-price" role="img" aria-label={`rose in ${plural(steps.length - 1, "step")} from ${price(first.micro_per_kwh)}`}>
      <path d={path.join("")} fill="none" stroke="currentColor" strokeWidth="1.6" />
      <circle cx={x(last.time_us)} cy={y(last.micro_per_kwh)} r="2.4" fill="currentColor" />
    </svg>
  );
}

function Progress({ lot }: { lot: LiveLot }) {
  if (isSealed(lot.mechanism)) return <span className="text-muted">sealed: bids are shown once it closes</span>;
  if (lot.standing_micro_per_kwh === null) return <span className="text-muted">no bid yet</span>;
  return (
    <span className="flex flex-wrap items-center justify-end gap-x-3 sm:justify-start">
      <strong className="number font-semibold whitespace-nowrap" data-testid="lot-standing">
        {price(lot.standing_micro_per_kwh)}
      </strong>
      {lot.bidders !== null && <span className="text-muted whitespace-nowrap">{plural(lot.bidders, "bidder")}</span>}
      <Rise lot={lot} />
    </span>
  );
}

const COLUMNS: readonly Column<LiveLot>[] = [
  { name: "Battery", cell: (lot) => <BatteryLink id={lot.battery} /> },
  { name: "Energy", right: true, cell: (lot) => energy(lot.energy_wh) },
  {
    name: "Ask, c/kWh",
    right: true,
    hint: "the least price that leads, or takes part in a sealed lot",
    cell: (lot) => (lot.ask_micro_per_kwh === null || lot.ask_micro_per_kwh === 0 ? <span className="text-muted">hidden</span> : cents(lot.ask_micro_per_kwh, 4)),
  },
  { name: "Bidding", cell: (lot) => <Progress lot={lot} /> },
  { name: "Closes", cell: (lot) => <Closes lot={lot} /> },
  { name: "Mechanism", cell: (lot) => <Badge>{lot.mechanism}</Badge> },
  {
    name: "Lot",
    cell: (lot) => (
      <Link to={`/lots/${keyOf(lot.battery, lot.lot_id)}`} className="link" aria-label={`Follow lot ${lot.lot_id} of battery ${lot.battery}`}>
        follow
      </Link>
    ),
  },
];

export function OpenLots({ lots, caption }: { lots: readonly LiveLot[]; caption: string }) {
  return <Table caption={caption} columns={COLUMNS} rows={lots} rowKey={(lot) => keyOf(lot.battery, lot.lot_id)} rowTestId="lot-row" />;
}
