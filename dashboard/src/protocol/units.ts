/** Integers of money and energy, and the one way to them from the wire's floats: `etp/units.py`. */

export const MICRO_PER_CENT = 10_000;
export const WH_PER_KWH = 1_000;
/** Largest distance from a whole unit at which a traded quantity is still read as it. */
export const QUANTUM_TOLERANCE = 1e-6;

/** The nearest integer, halves to the even one, as Python rounds floats. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Numerator / denominator (> 0) rounded half to even. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = 2n * (numerator % denominator);
  const up = twice > denominator || (twice === denominator && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

/** µ that `energyWh` costs at `price` µ/kWh: the rule by which a battery is paid. */
export function money(price: bigint, energyWh: bigint): bigint {
  return divideHalfEven(price * energyWh, 1000n);
}
