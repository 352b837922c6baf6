/**
 * Ed25519 verified as the nodes and the chain verify it: without cofactor, one form of each number, no small orders
 * (RFC 8032 §5.1.7, the stricter reading, which libsodium and Solana's precompile share).
 */

import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";

import { concat, equal, toHex } from "./bytes";

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.slice().reverse())}`);
}

/** A canonical point of large order, or null. */
function point(bytes: Uint8Array): InstanceType<typeof Point> | null {
  try {
    const read = Point.fromBytes(bytes, false);
    return read.isSmallOrder() ? null : read;
  } catch {
    return null; // no point of the curve, or written in a second form
  }
}

/** Whether `signature` (64 bytes) is this key's (32 bytes) over `message`. Never throws. */
export function isSignedBy(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (key.length !== 32 || signature.length !== 64) return false;
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  const signer = point(key);
  if (signer === null || point(r) === null || s >= ORDER || s === 0n) return false;
  const k = littleEndian(sha512(concat(r, key, message))) % ORDER;
  const made = Point.BASE.multiply(s).subtract(k === 0n ? Point.ZERO : signer.multiply(k));
  return equal(made.toBytes(), r);
}
