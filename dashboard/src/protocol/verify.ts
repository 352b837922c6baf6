/**
 * What can be checked of a trade without trusting the gateway that shows it: its messages as they were sent, against the
 * registered keys and against each other. Each check says what it compared, so that a reader can do it again by hand.
 */

import { fromHex, toBase58 } from "./bytes";
import { TYPE, codeName, messageName } from "./codes";
import { isSignedBy } from "./ed25519";
import { type Frame, invalid } from "./frame";
import { type Message, decodeMessage, fault, signedMessage } from "./record";
import { money } from "./units";
import type { FrameRole, TradeDetail, TradeFrame } from "../contract/rest";

export interface Check {
  readonly id: string;
  /** Which message it is about; null: the trade as a whole. */
  readonly of: FrameRole | null;
  readonly title: string;
  /** "none": there is nothing to check, and `detail` says why. */
  readonly result: "passed" | "failed" | "none";
  readonly detail: string;
}

/** The keys that the registry has, base58, as the nodes' own pages show them; null: not known. */
export interface Keys {
  readonly battery: string | null;
  readonly aggregator: string | null;
}

interface Read {
  readonly frame: TradeFrame;
  readonly message: Message;
}

const WANTED: Readonly<Record<FrameRole, number>> = {
  bid: TYPE.BID,
  price_setter: TYPE.BID,
  accept: TYPE.ACCEPT,
  confirm: TYPE.CONFIRM,
  answer: TYPE.TERMINATE,
};

/** What a message of a trade is called. */
export const ROLE_NAMES: Readonly<Record<FrameRole, string>> = {
  bid: "Bid",
  price_setter: "Bid that set the price",
  accept: "Accept",
  confirm: "Confirm",
  answer: "Terminate",
};

/** All checks of a trade, message by message, then how they fit together. */
export function verify(trade: TradeDetail, keys: Keys): readonly Check[] {
  const checks: Check[] = [];
  const read: Read[] = [];
  for (const frame of distinct(trade.frames)) {
    const message = decoded(frame, checks);
    if (message === null) continue;
    read.push({ frame, message });
    checks.push(...ofMessage(trade, frame, message, keys));
  }
  return [...checks, ...together(trade, read), ...published(trade.frames)];
}

/** Each message once: both sides publish it, and the bid that won may have set the price too. */
export function distinct(frames: readonly TradeFrame[]): readonly TradeFrame[] {
  const seen = new Set<string>();
  return frames.filter(({ what, raw }) => {
    const key = `${what === "price_setter" && seen.has(`bid ${raw}`) ? "bid" : what} ${raw}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Two sides that publish one message must publish the same one. */
function published(frames: readonly TradeFrame[]): readonly Check[] {
  return (Object.keys(WANTED) as FrameRole[]).flatMap((what) => {
    const own = frames.filter((frame) => frame.what === what);
    if (new Set(own.map((frame) => frame.by)).size < 2) return [];
    const same = own.every((frame) => frame.raw === own[0]?.raw);
    const detail = `published by ${own.map((frame) => frame.by).join(" and ")}: ${same ? "the same bytes" : "not the same bytes"}`;
    return [judged(`${what}-both`, null, `${ROLE_NAMES[what]}: both journals have the same`, same, detail)];
  });
}

/** Whether anything failed, and whether anybody signed anything. */
export function verdict(checks: readonly Check[]): { readonly failed: number; readonly passed: number; readonly signed: boolean } {
  return {
    failed: checks.filter((check) => check.result === "failed").length,
    passed: checks.filter((check) => check.result === "passed").length,
    signed: checks.some((check) => check.id.endsWith("-signature") && check.result === "passed"),
  };
}

function judged(id: string, of: FrameRole | null, title: string, passed: boolean, detail: string): Check {
  return { id, of, title, result: passed ? "passed" : "failed", detail };
}

function decoded(frame: TradeFrame, checks: Check[]): Message | null {
  try {
    return decodeMessage(frame.raw);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    checks.push(judged(`${frame.what}-decodes`, frame.what, "It can be read", false, detail));
    return null;
  }
}

function ofMessage(trade: TradeDetail, { what, key }: TradeFrame, message: Message, keys: Keys): readonly Check[] {
  const { frame, trailer } = message;
  const wrong = invalid(frame);
  const kind = messageName(frame.message_type);
  const checks = [
    judged(`${what}-legal`, what, "The frame is legal", wrong === null, wrong ?? `${kind}: every field is in its range`),
    judged(
      `${what}-type`,
      what,
      `Its type is ${messageName(WANTED[what])}`,
      frame.message_type === WANTED[what],
      `message_type is ${frame.message_type} (${kind})`,
    ),
    sender(trade, what, frame),
  ];
  if (trailer === null) {
    const detail = "A bare frame of 84 bytes: its market is plain, and nobody signed it.";
    return [...checks, { id: `${what}-signature`, of: what, title: "Signature", result: "none", detail }];
  }
  const disagreement = wrong === null ? fault(frame, trailer) : null;
  const agreement = `${trailer.price} µ/kWh and ${trailer.energy} Wh in both`;
  return [
    ...checks,
    judged(`${what}-integers`, what, "Its integers are its floats", disagreement === null, disagreement ?? agreement),
    signature(trade, what, key, message),
    registered(trade, what, key, keys),
    recipient(trade, what, trailer.recipient, keys),
  ];
}

function fromBattery(what: FrameRole): boolean {
  return what === "accept" || what === "answer";
}

function sender(trade: TradeDetail, what: FrameRole, frame: Frame): Check {
  const said = frame.device_id.toString();
  if (what === "price_setter") {
    const other = said !== trade.battery;
    return judged(`${what}-sender`, what, "A buyer sent it", other, `device_id is ${said}; the battery is ${trade.battery}`);
  }
  const [role, wanted] = fromBattery(what) ? ["battery", trade.battery] : ["aggregator", trade.aggregator];
  return judged(`${what}-sender`, what, `The ${role} sent it`, said === wanted, `device_id is ${said}; the ${role} is ${wanted}`);
}

function signature(trade: TradeDetail, what: FrameRole, key: string | null, { bytes, trailer }: Message): Check {
  const title = "Ed25519 signature";
  if (trailer === null || key === null || trade.network_id === null) {
    const missing = key === null ? "the sender's registered key" : "the market's network_id";
    return judged(`${what}-signature`, what, title, false, `It is signed, but the gateway does not say ${missing}.`);
  }
  const message = signedMessage(fromHex(trade.network_id), bytes);
  const good = isSignedBy(fromHex(key), message, trailer.signature);
  const over = `${message.length} bytes: ETP-SIG-v1 ‖ network_id ${short(trade.network_id)} ‖ record[:148]`;
  return judged(`${what}-signature`, what, title, good, `${good ? "by" : "not by"} ${toBase58(fromHex(key))} over ${over}`);
}

function registered(trade: TradeDetail, what: FrameRole, key: string | null, keys: Keys): Check {
  const title = "The key is the registered one";
  const wanted = fromBattery(what) ? keys.battery : keys.aggregator;
  const used = key === null ? "none" : toBase58(fromHex(key));
  if (what === "price_setter") {
    const detail = `${used}, of another buyer; its page shows the key that is registered`;
    return { id: `${what}-registered`, of: what, title, result: "none", detail };
  }
  const who = fromBattery(what) ? `battery ${trade.battery}` : `aggregator ${trade.aggregator}`;
  if (wanted === null) {
    return { id: `${what}-registered`, of: what, title, result: "none", detail: `The gateway names no key of ${who}.` };
  }
  return judged(`${what}-registered`, what, title, used === wanted, `checked with ${used}; ${who} has ${wanted}`);
}

function recipient(trade: TradeDetail, what: FrameRole, said: Uint8Array, keys: Keys): Check {
  const [who, wanted] = fromBattery(what)
    ? [`aggregator ${trade.aggregator}`, keys.aggregator]
    : [`battery ${trade.battery}`, keys.battery];
  const title = `It is addressed to the ${fromBattery(what) ? "aggregator" : "battery"}`;
  if (wanted === null) {
    const detail = `Its recipient is ${toBase58(said)}; the gateway names no key of ${who}.`;
    return { id: `${what}-recipient`, of: what, title, result: "none", detail };
  }
  const good = toBase58(said) === wanted;
  return judged(`${what}-recipient`, what, title, good, `recipient is ${toBase58(said)}; ${who} has ${wanted}`);
}

function together(trade: TradeDetail, read: readonly Read[]): readonly Check[] {
  const first = (what: FrameRole): Message | null => read.find((one) => one.frame.what === what)?.message ?? null;
  const twice = trade.frames.find((frame) => frame.what === "price_setter" && read.some((one) => one.frame.raw === frame.raw));
  const [bid, setter, accept, confirm, answer] = [
    first("bid"),
    first("price_setter") ?? (twice === undefined ? null : first("bid")),
    first("accept"),
    first("confirm"),
    first("answer"),
  ];
  const checks: Check[] = [];
  if (bid !== null) checks.push(...bidFits(trade, bid));
  for (const [what, message] of [["accept", accept], ["confirm", confirm]] as const) {
    if (message !== null) checks.push(...promiseFits(trade, what, message));
  }
  if (accept !== null && confirm !== null) checks.push(sameTerms(accept.frame, confirm.frame));
  if (setter !== null) checks.push(...setterFits(trade, setter));
  if (answer !== null) checks.push(...answerFits(trade, answer));
  return [...checks, priced(trade), paid(trade)];
}

function lot(what: FrameRole, message: Message, name: string, wanted: string): readonly Check[] {
  if (message.trailer === null) return [];
  const said = message.trailer.lot_id.toString();
  return [judged(`${what}-lot`, null, `${ROLE_NAMES[what]}: of this lot`, said === wanted, `lot_id is ${said}; ${name} is ${wanted}`)];
}

function bidFits(trade: TradeDetail, message: Message): readonly Check[] {
  const [price, energy] = terms(message.frame, message.frame.bid_price);
  return [
    ...lot("bid", message, "the lot that was bid for", trade.auction_id),
    ...named(trade, message.frame.message_id.toString()),
    judged(
      "bid-price",
      null,
      "Bid: the price that was bid",
      price === BigInt(trade.bid_micro_per_kwh),
      `${price} µ/kWh; the trade says ${trade.bid_micro_per_kwh}`,
    ),
    judged(
      "bid-energy",
      null,
      "Bid: asked for at least what was awarded",
      energy >= BigInt(trade.energy_wh),
      `${energy} Wh asked for; ${trade.energy_wh} Wh awarded`,
    ),
  ];
}

/** Journals name a promise by its Bid's message_id. */
function named(trade: TradeDetail, id: string): readonly Check[] {
  return trade.rows
    .filter((row) => row.kind === "trade" && row.body["message_id"] !== undefined)
    .map((row) => {
      const wanted = String(row.body["message_id"]);
      const detail = `message_id is ${id}; row ${row.seq} of node ${row.node} names ${wanted}`;
      return judged(`bid-id-${row.node}`, null, `Bid: the one in the journal of ${row.node}`, id === wanted, detail);
    });
}

function promiseFits(trade: TradeDetail, what: "accept" | "confirm", message: Message): readonly Check[] {
  const [price, energy] = terms(message.frame, message.frame.sale_price);
  const same = price === BigInt(trade.price_micro_per_kwh) && energy === BigInt(trade.energy_wh);
  const detail = `${energy} Wh at ${price} µ/kWh; the trade says ${trade.energy_wh} Wh at ${trade.price_micro_per_kwh}`;
  return [
    ...lot(what, message, "the trade's lot", trade.lot_id),
    judged(`${what}-terms`, null, `${ROLE_NAMES[what]}: energy and price of the trade`, same, detail),
  ];
}

function sameTerms(accept: Frame, confirm: Frame): Check {
  const same = accept.sale_price === confirm.sale_price && accept.required_energy_amount === confirm.required_energy_amount;
  const say = (frame: Frame) => `${frame.required_energy_amount} kWh at ${frame.sale_price} c/kWh`;
  return judged("same-terms", null, "Confirm repeats the Accept", same, `${say(accept)}; ${say(confirm)}`);
}

function setterFits(trade: TradeDetail, message: Message): readonly Check[] {
  const [price] = terms(message.frame, message.frame.bid_price);
  const same = price === BigInt(trade.price_micro_per_kwh);
  return [
    ...lot("price_setter", message, "the lot that was bid for", trade.auction_id),
    judged("setter-price", null, "What is paid is what this bid set", same, `bid ${price} µ/kWh; paid ${trade.price_micro_per_kwh}`),
  ];
}

function answerFits(trade: TradeDetail, message: Message): readonly Check[] {
  const code = message.frame.termination_code;
  const detail = `termination_code is ${code} (${codeName(message.frame.message_type, code) ?? "of no meaning"})`;
  return [
    ...lot("answer", message, "the trade's lot", trade.lot_id),
    judged("answer-code", null, "The battery says that the trade stands", code === 0, detail),
  ];
}

function priced(trade: TradeDetail): Check {
  const good = trade.price_micro_per_kwh <= trade.bid_micro_per_kwh;
  const detail = `${trade.price_micro_per_kwh} µ/kWh paid for a bid of ${trade.bid_micro_per_kwh}`;
  return judged("price-bid", null, "The buyer pays no more than it bid", good, detail);
}

function paid(trade: TradeDetail): Check {
  const due = money(BigInt(trade.price_micro_per_kwh), BigInt(trade.energy_wh));
  const sum = `${trade.price_micro_per_kwh} µ/kWh × ${trade.energy_wh} Wh / 1000 = ${due} µ, halves to even`;
  return judged("paid", null, "Price × energy is what is paid", due === BigInt(trade.paid_micro), `${sum}; the trade says ${trade.paid_micro} µ`);
}

/** Price (µ/kWh) and energy (Wh) of a Bid, Accept or Confirm; −1 where a float is no number. */
function terms(frame: Frame, price: number): readonly [bigint, bigint] {
  const whole = (value: number) => (Number.isFinite(value) ? BigInt(Math.round(value)) : -1n);
  return [whole(price * 10_000), whole(frame.required_energy_amount * 1_000)];
}

/** The beginning of a long hex, for reading. */
export function short(hex: string): string {
  return hex.length > 12 ? `${hex.slice(0, 8)}…` : hex;
}

