/** Samples of a battery out of CSV, thinned to what a chart can show. */

import type { Sample } from "../contract/rest";

const FIELDS = ["time_us", "market_us", "stored_wh", "for_sale_wh", "reserved_wh", "to_deliver_wh"] as const;

/** The rows of the gateway's CSV. Throws RangeError: which column is missing. */
export function fromCsv(text: string): readonly Sample[] {
  const [head = "", ...lines] = text.split(/\r?\n/).filter((line) => line !== "");
  const names = head.split(",");
  const at = FIELDS.map((field) => {
    const index = names.indexOf(field);
    if (index === -1) throw new RangeError(`the samples have no column ${field}; they have ${head.slice(0, 100)}`);
    return index;
  });
  return lines.map((line) => {
    const cells = line.split(",");
    return Object.fromEntries(FIELDS.map((field, index) => [field, Number(cells[at[index] ?? -1])])) as unknown as Sample;
  });
}

/** At most about `most` of them, evenly, with the first and the last: measured points only, nothing between them is made up. */
export function thinned<T>(samples: readonly T[], most: number): readonly T[] {
  if (samples.length <= most) return samples;
  const step = (samples.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, index) => samples[Math.round(index * step)] as T);
}
