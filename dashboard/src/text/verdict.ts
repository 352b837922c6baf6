/** What the statistics say about competition, in words that promise no more than the numbers do. */

import type { Group, Statistics, Sums } from "../contract/rest";
import { average, percent, plural, signedPrice } from "./units";

/** Fewer trades than this say nothing: the interval of a handful is wider than any effect. */
export const TOO_FEW = 10;

export interface Sentence {
  readonly tone: "good" | "bad" | "open";
  readonly text: string;
}

type Interval = Pick<Group, "low_micro_per_kwh" | "high_micro_per_kwh" | "price_micro_per_kwh">;

function interval(group: Interval): readonly [number, number] | null {
  const { low_micro_per_kwh: low, high_micro_per_kwh: high } = group;
  return low === null || high === null ? null : [low, high];
}

/** Price against one baseline: above, below, or not to be told apart at 95 %. */
export function against(group: Interval, baseline: number | null, name: string): Sentence | null {
  const range = interval(group);
  if (baseline === null || group.price_micro_per_kwh === null || range === null) return null;
  const difference = group.price_micro_per_kwh - baseline;
  const by = `${signedPrice(difference)} (${percent(Math.abs(difference), baseline, 1)})`;
  if (range[0] > baseline) return { tone: "good", text: `That is above ${name} (${average(baseline)}): ${by}.` };
  if (range[1] < baseline) return { tone: "bad", text: `That is below ${name} (${average(baseline)}): ${by}.` };
  return {
    tone: "open",
    text: `${name.charAt(0).toUpperCase()}${name.slice(1)} (${average(baseline)}) lies within that interval: these trades show no difference.`,
  };
}

/** The whole market's sentences, from `by=all`. */
export function overall(statistics: Statistics): readonly Sentence[] {
  const all = statistics.groups[0];
  const { trades } = statistics.total;
  if (trades === 0) return [{ tone: "open", text: "No trade yet, so there is nothing to compare." }];
  const range = all === undefined ? null : interval(all);
  if (all === undefined || trades < TOO_FEW || range === null) {
    return [{ tone: "open", text: `${plural(trades, "trade")} so far: too few to say whether competition pays (at least ${TOO_FEW}).` }];
  }
  const mean = `Over ${plural(trades, "trade")} batteries were paid ${average(all.price_micro_per_kwh)} on average`;
  const first: Sentence = { tone: "open", text: `${mean}, with 95 % confidence between ${average(range[0])} and ${average(range[1])}.` };
  return [first, ...baselines(all)];
}

function baselines(all: Group): readonly Sentence[] {
  const said = [
    against(all, all.feed_in_micro_per_kwh, "the feed-in tariff"),
    against(all, all.first_micro_per_kwh, "what the first bid above the reserve would have paid"),
  ];
  return said.filter((sentence) => sentence !== null);
}

function rivals(key: string): string {
  return plural(Number(key), "bidder");
}

/** Whether lots with more bidders paid more, from `by=bidders`: the fewest against the most of those with enough trades. */
export function byBidders(groups: readonly Group[]): Sentence {
  const known = groups
    .filter((group) => Number(group.key) > 0 && group.trades >= TOO_FEW && interval(group) !== null)
    .toSorted((one, other) => Number(one.key) - Number(other.key));
  const [fewest, most] = [known[0], known.at(-1)];
  if (fewest === undefined || most === undefined || fewest === most) {
    return { tone: "open", text: `Too few trades to compare numbers of bidders: at least two numbers with ${TOO_FEW} trades each.` };
  }
  const [low, high] = [interval(fewest), interval(most)];
  const said = `Lots with ${rivals(most.key)} paid ${average(most.price_micro_per_kwh)}, those with ${rivals(fewest.key)} ${average(fewest.price_micro_per_kwh)}`;
  if (low !== null && high !== null && high[0] > low[1]) return { tone: "good", text: `${said}: more bidders, a better price.` };
  if (low !== null && high !== null && high[1] < low[0]) return { tone: "bad", text: `${said}: more bidders, a lower price.` };
  return { tone: "open", text: `${said}: their intervals overlap, so these trades do not show that more bidders pay more.` };
}

/** A group's price above a baseline, µ/kWh; null: one of them is not known. */
export function above(sums: Sums, baseline: number | null): number | null {
  return sums.price_micro_per_kwh === null || baseline === null ? null : sums.price_micro_per_kwh - baseline;
}
