/** Vectors that the Python tests share: what both sides read must be the same. */

import { readFileSync } from "node:fs";

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../tests/vectors/${name}`, import.meta.url), "utf8"));
}

export interface RecordVector {
  readonly name: string;
  readonly hex: string;
  readonly signed_message: string;
  readonly counter: number;
  readonly lot_id: number;
  readonly price: number;
  readonly energy: number;
  readonly recipient: string;
  readonly signature: string;
  readonly sender: "bess" | "aggregator";
}

export const RECORDS = read("records.json") as {
  readonly network: { readonly network_id: string };
  readonly keys: Record<"bess" | "aggregator", { readonly seed: string; readonly public: string }>;
  readonly records: readonly RecordVector[];
};
export const FRAMES = read("frames.json") as {
  readonly frames: readonly ({ readonly name: string; readonly hex: string } & Record<string, number | string>)[];
};
export const INVALID = read("invalid.json") as { readonly frames: readonly { readonly name: string; readonly hex: string; readonly reason: string }[] };

/** A record of the vectors by the beginning of its name. */
export function record(name: string): RecordVector {
  const found = RECORDS.records.find((one) => one.name.startsWith(name));
  if (found === undefined) throw new Error(`no record vector begins with ${name}`);
  return found;
}
