/** Trades of REST and of the stream as one list. */

import type { Trade } from "../contract/rest";
import { type LiveTrade, keyOf } from "../world/world";

/** A trade in a list. Where its payment stands may not be known yet: undefined. */
export type ListedTrade = Omit<Trade, "settlement"> & { readonly settlement: string | null | undefined };

/** A trade of the stream in REST's shape; what the stream has not told is null. */
export function fromStream(trade: LiveTrade): ListedTrade {
  return { ...trade, battery: trade.node, delivered_wh: null, signature: null };
}

/** REST's list, with what the stream knows newer: trades that came since, and states that moved. */
export function merged(stored: readonly Trade[], live: readonly LiveTrade[], most: number): readonly ListedTrade[] {
  const all = new Map<string, ListedTrade>(stored.map((trade) => [keyOf(trade.battery, trade.lot_id), trade]));
  for (const trade of live) {
    const key = keyOf(trade.node, trade.lot_id);
    const known = all.get(key);
    const settlement = trade.settlement ?? known?.settlement;
    const delivery = trade.delivery === "pending" ? (known?.delivery ?? "pending") : trade.delivery;
    all.set(key, { ...(known ?? fromStream(trade)), settlement, delivery });
  }
  return [...all.values()].toSorted((a, b) => b.time_us - a.time_us || (BigInt(b.lot_id) > BigInt(a.lot_id) ? 1 : -1)).slice(0, most);
}
