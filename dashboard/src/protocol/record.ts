/** The record: a frame and its signed trailer, 212 bytes. `etp/record.py` declares the same. */

import { sha256 } from "@noble/hashes/sha2.js";

import { concat, equal, fromHex } from "./bytes";
import { TYPE } from "./codes";
import { FRAME_SIZE, type Frame, decodeFrame } from "./frame";
import { MICRO_PER_CENT, WH_PER_KWH, roundHalfEven } from "./units";

export const RECORD_SIZE = 212;
/** What the signature covers of a record; the signature itself is the rest. */
export const UNSIGNED_SIZE = 148;

const TEXT = new TextEncoder();
export const DOMAIN = TEXT.encode("ETP-SIG-v1\0");
/** `ETPS`, version 1, Ed25519, two zeros: what every trailer begins with. */
export const HEAD = concat(TEXT.encode("ETPS"), Uint8Array.of(1, 1, 0, 0));
/** Below this a message_id carries no time. */
const FIRST_TIME = 2n ** 40n;
const LAST_LOT = 2n ** 63n - 1n;

export interface Trailer {
  readonly counter: bigint;
  readonly lot_id: bigint;
  /** µ/kWh. */
  readonly price: number;
  /** Wh. */
  readonly energy: number;
  readonly recipient: Uint8Array;
  readonly signature: Uint8Array;
}

export interface TrailerField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly unit: string;
}

/** The trailer's layout; offsets from the record's beginning. */
export const TRAILER_FIELDS: readonly TrailerField[] = [
  { name: "magic", offset: 84, size: 4, unit: "" },
  { name: "version", offset: 88, size: 1, unit: "" },
  { name: "algorithm", offset: 89, size: 1, unit: "" },
  { name: "zero", offset: 90, size: 2, unit: "" },
  { name: "counter", offset: 92, size: 8, unit: "" },
  { name: "lot_id", offset: 100, size: 8, unit: "" },
  { name: "price", offset: 108, size: 4, unit: "µ/kWh" },
  { name: "energy", offset: 112, size: 4, unit: "Wh" },
  { name: "recipient", offset: 116, size: 32, unit: "" },
  { name: "signature", offset: 148, size: 64, unit: "" },
];

export interface Message {
  readonly bytes: Uint8Array;
  readonly frame: Frame;
  /** null: a bare frame, which nobody signed. */
  readonly trailer: Trailer | null;
}

/** A frame or record out of hex. Throws RangeError: what the bytes are instead. */
export function decodeMessage(hex: string): Message {
  const bytes = fromHex(hex);
  if (bytes.length === FRAME_SIZE) return { bytes, frame: decodeFrame(bytes), trailer: null };
  if (bytes.length !== RECORD_SIZE) {
    throw new RangeError(`a frame is ${FRAME_SIZE} bytes long and a record ${RECORD_SIZE}; these are ${bytes.length}`);
  }
  const head = bytes.subarray(FRAME_SIZE, FRAME_SIZE + HEAD.length);
  if (!equal(head, HEAD)) throw new RangeError("a record's trailer begins with ETPS, version 1, algorithm 1; this does not");
  return { bytes, frame: decodeFrame(bytes.subarray(0, FRAME_SIZE)), trailer: decodeTrailer(bytes) };
}

function decodeTrailer(bytes: Uint8Array): Trailer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    counter: view.getBigUint64(92, true),
    lot_id: view.getBigUint64(100, true),
    price: view.getUint32(108, true),
    energy: view.getUint32(112, true),
    recipient: bytes.subarray(116, UNSIGNED_SIZE),
    signature: bytes.subarray(UNSIGNED_SIZE),
  };
}

const micro = (cents: number): number => roundHalfEven(cents * MICRO_PER_CENT);
const awarded = (frame: Frame): number => roundHalfEven(frame.required_energy_amount * WH_PER_KWH);

/** Price (µ/kWh) and energy (Wh) that a trailer must name: what its frame's floats say, to the nearest unit. */
export function quantities(frame: Frame): readonly [number, number] {
  switch (frame.message_type) {
    case TYPE.RESPONSE:
      return [micro(frame.sale_price), roundHalfEven(frame.energy_total * frame.percentage_for_sale * 10)];
    case TYPE.BID:
      return [micro(frame.bid_price), awarded(frame)];
    case TYPE.ACCEPT:
    case TYPE.CONFIRM:
      return [micro(frame.sale_price), awarded(frame)];
    case TYPE.REJECT:
      return [micro(frame.sale_price), 0];
    default:
      return [0, 0];
  }
}

/** Why a record of a legal frame is refused whoever signed it, or null: it is well-formed. */
export function fault(frame: Frame, trailer: Trailer): string | null {
  const [price, energy] = quantities(frame);
  if (price !== trailer.price || energy !== trailer.energy) {
    return `its trailer says ${trailer.price} µ/kWh and ${trailer.energy} Wh, its frame ${price} and ${energy}`;
  }
  if (frame.message_id < FIRST_TIME) {
    return `message_id is ${frame.message_id}; it must be µs since 1970`;
  }
  return trailer.lot_id > LAST_LOT ? `lot_id is ${trailer.lot_id}; it must be µs since 1970, or 0` : null;
}

/** The 191 bytes that a record's signature covers. */
export function signedMessage(network: Uint8Array, record: Uint8Array): Uint8Array {
  return concat(DOMAIN, network, record.subarray(0, UNSIGNED_SIZE));
}

/** SHA-256 of a whole record: what the chain keeps of it. */
export function recordHash(record: Uint8Array): Uint8Array {
  return sha256(record);
}
