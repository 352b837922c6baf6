/** The 84-byte frame: little-endian, no padding. The table below is the layout; `etp/frame.py` declares the same. */

import { TYPE } from "./codes";
import { MICRO_PER_CENT, QUANTUM_TOLERANCE, WH_PER_KWH } from "./units";

export const FRAME_SIZE = 84;

export type FieldName =
  | "message_type"
  | "message_id"
  | "device_id"
  | "ttl"
  | "bid_price"
  | "sale_price"
  | "energy_total"
  | "percentage_for_sale"
  | "required_energy_amount"
  | "termination_code"
  | "remaining_battery_energy"
  | "battery_health_status_code"
  | "battery_voltage"
  | "discharge_rate";

export interface Field {
  readonly name: FieldName;
  readonly kind: "u8" | "u64" | "f64";
  readonly offset: number;
  readonly size: number;
  readonly unit: string;
  readonly low: number;
  readonly high: number;
}

const SIZES = { u8: 1, u64: 8, f64: 8 } as const;
const U64_MAX = 2 ** 64;

const ROWS: readonly (readonly [FieldName, Field["kind"], string, number, number])[] = [
  ["message_type", "u8", "", 0, 9],
  ["message_id", "u64", "µs", 0, U64_MAX],
  ["device_id", "u64", "", 0, U64_MAX],
  ["ttl", "u8", "", 1, 255],
  ["bid_price", "f64", "c/kWh", 0, 10_000],
  ["sale_price", "f64", "c/kWh", 0, 10_000],
  ["energy_total", "f64", "kWh", 0, 1_000_000],
  ["percentage_for_sale", "f64", "%", 0, 100],
  ["required_energy_amount", "f64", "kWh", 0, 1_000_000],
  ["termination_code", "u8", "", 0, 255],
  ["remaining_battery_energy", "f64", "kWh", 0, 1_000_000],
  ["battery_health_status_code", "u8", "", 0, 3],
  ["battery_voltage", "f64", "V", 0, 2_000],
  ["discharge_rate", "f64", "kW", 0, 100_000],
];

/** Every field in wire order. */
export const FIELDS: readonly Field[] = ROWS.map(([name, kind, unit, low, high], index) => ({
  name,
  kind,
  unit,
  low,
  high,
  size: SIZES[kind],
  offset: ROWS.slice(0, index).reduce((bytes, row) => bytes + SIZES[row[1]], 0),
}));

type Ids = "message_id" | "device_id";
/** One frame as on the wire: ids whole, prices in c/kWh, energies in kWh, volts, kW. -0 reads as 0. */
export type Frame = Readonly<Record<Exclude<FieldName, Ids>, number> & Record<Ids, bigint>>;

/** The frame in exactly 84 bytes. Throws RangeError for another length. */
export function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes.length !== FRAME_SIZE) {
    throw new RangeError(`a frame is ${FRAME_SIZE} bytes long; these are ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = (field: Field): number | bigint => {
    if (field.kind === "u8") return view.getUint8(field.offset);
    if (field.kind === "u64") return view.getBigUint64(field.offset, true);
    return view.getFloat64(field.offset, true) + 0;
  };
  return Object.fromEntries(FIELDS.map((field) => [field.name, read(field)])) as unknown as Frame;
}

type Traded = "bid_price" | "sale_price" | "required_energy_amount";
const PRICES: readonly Traded[] = ["bid_price", "sale_price"];
const TERMS: readonly Traded[] = ["bid_price", "sale_price", "required_energy_amount"];
/** Fields that trade, by the types that carry them: whole µ or Wh, or the frame is refused. */
const TRADED: Readonly<Record<number, readonly Traded[]>> = {
  [TYPE.RESPONSE]: PRICES,
  [TYPE.BID]: ["bid_price", "required_energy_amount"],
  [TYPE.ACCEPT]: TERMS,
  [TYPE.CONFIRM]: TERMS,
  [TYPE.REJECT]: PRICES,
};
const QUANTA: Readonly<Record<Traded, readonly [number, string]>> = {
  bid_price: [MICRO_PER_CENT, "0.0001 c/kWh"],
  sale_price: [MICRO_PER_CENT, "0.0001 c/kWh"],
  required_energy_amount: [WH_PER_KWH, "0.001 kWh"],
};

/** Why a frame is refused, or null: it is legal. */
export function invalid(frame: Frame): string | null {
  return outOfRange(frame) ?? notWhole(frame) ?? emptyBid(frame);
}

function outOfRange(frame: Frame): string | null {
  for (const { name, low, high, unit } of FIELDS) {
    const value = frame[name];
    // Not `<` and `>`: NaN fails every comparison.
    if (!(value >= low && value <= high)) {
      return `${name} is ${value}; it must be ${low} to ${high} ${unit}`.trimEnd();
    }
  }
  return null;
}

function notWhole(frame: Frame): string | null {
  for (const name of TRADED[frame.message_type] ?? []) {
    const [factor, step] = QUANTA[name];
    const scaled = frame[name] * factor;
    const nearest = Math.floor(scaled + 0.5);
    if (frame[name] !== 0 && (nearest === 0 || !(Math.abs(scaled - nearest) <= QUANTUM_TOLERANCE))) {
      return `${name} is ${frame[name]}; it must be a whole multiple of ${step}`;
    }
  }
  return null;
}

function emptyBid(frame: Frame): string | null {
  if (frame.message_type !== TYPE.BID) return null;
  const name = (["bid_price", "required_energy_amount"] as const).find((field) => !(frame[field] > 0));
  return name === undefined ? null : `${name} of a Bid is ${frame[name]}; it must be greater than 0`;
}
