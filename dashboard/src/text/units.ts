/** Values as people read them, each with its unit. Integers in, text out; null is an en dash. */

export const NONE = "–";

function grouped(value: number, least: number, most: number): string {
  return value.toLocaleString("en", { minimumFractionDigits: least, maximumFractionDigits: most });
}

/** µ/kWh as c/kWh: two decimals, up to four where it has them. */
export function price(micro: number | null | undefined): string {
  return micro == null ? NONE : `${grouped(micro / 10_000, 2, 4)} c/kWh`;
}

/** An average of prices: two decimals, since the rest is noise. */
export function average(micro: number | null | undefined): string {
  return micro == null ? NONE : `${grouped(micro / 10_000, 2, 2)} c/kWh`;
}

/** The number of `price` alone, for columns whose head names the unit. */
export function cents(micro: number | null | undefined, decimals = 2): string {
  return micro == null ? NONE : grouped(micro / 10_000, 2, decimals);
}

/** µ as c, halves of a hundredth of a cent are not shown. */
export function money(micro: number | null | undefined): string {
  return micro == null ? NONE : `${grouped(micro / 10_000, 2, 2)} c`;
}

/** Wh as kWh, or MWh from a thousand of them. */
export function energy(wh: number | null | undefined): string {
  if (wh == null) return NONE;
  return Math.abs(wh) < 1_000_000 ? `${grouped(wh / 1_000, 0, 3)} kWh` : `${grouped(wh / 1_000_000, 0, 2)} MWh`;
}

/** Wh as kWh without the unit. */
export function kwh(wh: number | null | undefined): string {
  return wh == null ? NONE : grouped(wh / 1_000, 2, 3);
}

export function count(value: number | null | undefined): string {
  return value == null ? NONE : grouped(value, 0, 0);
}

/** A share of a whole in percent; of nothing: a dash. */
export function percent(part: number, whole: number, decimals = 0): string {
  return whole === 0 ? NONE : `${grouped((100 * part) / whole, decimals, decimals)} %`;
}

/** A difference with its sign, c/kWh. */
export function signedPrice(micro: number): string {
  const sign = micro > 0 ? "+" : micro < 0 ? "−" : "±";
  return `${sign}${grouped(Math.abs(micro) / 10_000, 2, 2)} c/kWh`;
}

/** Milliseconds: three digits that matter. */
export function ms(value: number): string {
  return `${grouped(value, 0, value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

export function watts(value: number): string {
  return `${grouped(value, 0, 0)} W`;
}

/** mV as V. */
export function volts(mv: number): string {
  return `${grouped(mv / 1_000, 0, 1)} V`;
}

/** Thousandths of °C. */
export function celsius(mc: number | null): string {
  return mc === null ? NONE : `${grouped(mc / 1_000, 1, 1)} °C`;
}

/** "1 bid", "2 bids". */
export function plural(value: number, word: string, many = `${word}s`): string {
  return `${count(value)} ${value === 1 ? word : many}`;
}
