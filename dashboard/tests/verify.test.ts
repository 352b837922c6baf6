import { describe, expect, it } from "vitest";

import type { TradeDetail, TradeFrame } from "../src/contract/rest";
import { fromHex, toBase58, toHex } from "../src/protocol/bytes";
import { isSignedBy } from "../src/protocol/ed25519";
import { decodeMessage, fault, quantities, signedMessage } from "../src/protocol/record";
import { divideHalfEven, money, roundHalfEven } from "../src/protocol/units";
import { type Keys, verdict, verify } from "../src/protocol/verify";
import { RECORDS, record } from "./vectors";

const NETWORK = RECORDS.network.network_id;
const KEYS: Keys = { battery: toBase58(fromHex(RECORDS.keys.bess.public)), aggregator: toBase58(fromHex(RECORDS.keys.aggregator.public)) };
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

function trailerOf(hex: string) {
  const message = decodeMessage(hex);
  if (message.trailer === null) throw new Error("a record has a trailer");
  return { ...message, trailer: message.trailer };
}

describe("a record", () => {
  it.each(RECORDS.records)("reads $name", (vector) => {
    const { bytes, frame, trailer } = trailerOf(vector.hex);
    // Python's JSON has whole u64; above 2^53 this one has the nearest double.
    expect(Number(trailer.counter)).toBe(vector.counter);
    expect(Number(trailer.lot_id)).toBe(vector.lot_id);
    expect([trailer.price, trailer.energy]).toEqual([vector.price, vector.energy]);
    expect(quantities(frame)).toEqual([vector.price, vector.energy]);
    expect(toHex(trailer.recipient)).toBe(vector.recipient);
    expect(fault(frame, trailer)).toBeNull();
    expect(toHex(signedMessage(fromHex(NETWORK), bytes))).toBe(vector.signed_message);
  });

  it.each(RECORDS.records)("verifies $name with its key, for its network, and with nothing else", (vector) => {
    const { bytes, trailer } = trailerOf(vector.hex);
    const key = fromHex(RECORDS.keys[vector.sender].public);
    const other = fromHex(RECORDS.keys[vector.sender === "bess" ? "aggregator" : "bess"].public);
    const message = signedMessage(fromHex(NETWORK), bytes);
    expect(isSignedBy(key, message, trailer.signature)).toBe(true);
    expect(isSignedBy(other, message, trailer.signature)).toBe(false);
    expect(isSignedBy(key, signedMessage(new Uint8Array(32), bytes), trailer.signature)).toBe(false);
  });

  it("is not verified once any byte is another", () => {
    const { bytes } = trailerOf(record("confirm").hex);
    const key = fromHex(RECORDS.keys.aggregator.public);
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(isSignedBy(key, signedMessage(fromHex(NETWORK), changed), changed.subarray(148)), `byte ${at}`).toBe(false);
    }
  });

  it("has one signature, not a second one by S + L", () => {
    const { bytes, trailer } = trailerOf(record("confirm").hex);
    const s = BigInt(`0x${toHex(trailer.signature.slice(32).reverse())}`) + ORDER;
    const again = trailer.signature.slice();
    again.set(fromHex(s.toString(16).padStart(64, "0")).reverse(), 32);
    expect(isSignedBy(fromHex(RECORDS.keys.aggregator.public), signedMessage(fromHex(NETWORK), bytes), again)).toBe(false);
  });

  it("is signed by no key of small order", () => {
    const small = ["00", "01", "ec", "26", "c7"].map((start) =>
      fromHex(
        {
          "00": "00".repeat(32),
          "01": `01${"00".repeat(31)}`,
          ec: `ec${"ff".repeat(30)}7f`,
          "26": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
          c7: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        }[start] ?? "",
      ),
    );
    for (const key of small) {
      for (const point of small) {
        const signature = new Uint8Array(64);
        signature.set(point);
        expect(isSignedBy(key, new Uint8Array(191), signature)).toBe(false);
      }
    }
    expect(isSignedBy(new Uint8Array(31), new Uint8Array(191), new Uint8Array(64))).toBe(false);
  });

  it("says what is wrong with other lengths and other trailers", () => {
    const { hex } = record("bid");
    expect(() => decodeMessage(hex.slice(2))).toThrow("these are 211");
    expect(() => decodeMessage(`${hex.slice(0, 168)}00${hex.slice(170)}`)).toThrow("begins with ETPS");
    expect(decodeMessage(hex.slice(0, 168)).trailer).toBeNull();
  });

  it("is refused where its integers are not its floats", () => {
    const { frame, trailer } = trailerOf(record("bid").hex);
    expect(fault(frame, { ...trailer, price: trailer.price + 1 })).toContain("its trailer says 127502 µ/kWh");
    expect(fault({ ...frame, message_id: 5n }, trailer)).toContain("message_id is 5");
    expect(fault(frame, { ...trailer, lot_id: 2n ** 63n })).toContain("lot_id");
  });
});

describe("integers", () => {
  it("round halves to even, as money is rounded", () => {
    expect([0.5, 1.5, 2.5, 2.4, 2.6, -0.5].map(roundHalfEven).map((value) => value + 0)).toEqual([0, 2, 2, 2, 3, 0]);
    expect([1n, 3n, 5n, 4n].map((value) => divideHalfEven(value, 2n))).toEqual([0n, 2n, 2n, 2n]);
    expect(money(185_000n, 2_500n)).toBe(462_500n);
    expect(money(100_000_000n, 1_000_000_000n)).toBe(100_000_000_000_000n);
  });
});

function frameOf(what: TradeFrame["what"], hex: string, sender: "bess" | "aggregator"): TradeFrame {
  return { what, by: "101", raw: hex, key: RECORDS.keys[sender].public };
}

function trade(): TradeDetail {
  const confirm = record("confirm");
  const accepted = trailerOf(record("accept").hex);
  const lot = accepted.trailer.lot_id.toString();
  return {
    battery: accepted.frame.device_id.toString(),
    lot_id: lot,
    auction_id: trailerOf(record("bid").hex).trailer.lot_id.toString(),
    aggregator: trailerOf(confirm.hex).frame.device_id.toString(),
    time_us: 1,
    market_us: 1,
    energy_wh: confirm.energy,
    price_micro_per_kwh: confirm.price,
    bid_micro_per_kwh: trailerOf(record("bid").hex).trailer.price,
    paid_micro: Number(money(BigInt(confirm.price), BigInt(confirm.energy))),
    bidders: 1,
    first_micro_per_kwh: null,
    feed_in_micro_per_kwh: null,
    settlement: "settled",
    delivery: "pending",
    delivered_wh: null,
    signature: null,
    network_id: NETWORK,
    frames: [
      frameOf("bid", record("bid").hex, "aggregator"),
      frameOf("accept", record("accept").hex, "bess"),
      frameOf("confirm", confirm.hex, "aggregator"),
    ],
    rows: [],
  };
}

function failed(of: TradeDetail, keys: Keys = KEYS): readonly string[] {
  return verify(of, keys)
    .filter((check) => check.result === "failed")
    .map((check) => check.id);
}

describe("verifying a trade", () => {
  it("passes an honest one, and says that it is signed", () => {
    const checks = verify(trade(), KEYS);
    expect(checks.filter((check) => check.result !== "passed")).toEqual([]);
    expect(verdict(checks)).toMatchObject({ failed: 0, signed: true });
  });

  it("names what does not fit", () => {
    const honest = trade();
    expect(failed({ ...honest, paid_micro: honest.paid_micro + 1 })).toEqual(["paid"]);
    expect(failed({ ...honest, lot_id: "7" })).toEqual(["accept-lot", "confirm-lot"]);
    expect(failed({ ...honest, auction_id: "7" })).toEqual(["bid-lot"]);
    expect(failed({ ...honest, energy_wh: honest.energy_wh + 1 })).toEqual(["bid-energy", "accept-terms", "confirm-terms", "paid"]);
    expect(failed({ ...honest, bid_micro_per_kwh: 1 })).toEqual(["bid-price", "price-bid"]);
    expect(failed({ ...honest, aggregator: "9" })).toEqual(["bid-sender", "confirm-sender"]);
    expect(failed({ ...honest, network_id: "00".repeat(32) })).toEqual(["bid-signature", "accept-signature", "confirm-signature"]);
  });

  it("does not take the gateway's word for a key", () => {
    const swapped: Keys = { battery: KEYS.aggregator, aggregator: KEYS.battery };
    expect(failed(trade(), swapped)).toEqual([
      "bid-registered",
      "bid-recipient",
      "accept-registered",
      "accept-recipient",
      "confirm-registered",
      "confirm-recipient",
    ]);
  });

  it("fails a message that is no message, and goes on with the others", () => {
    const honest = trade();
    const checks = verify({ ...honest, frames: [frameOf("bid", "00", "aggregator"), ...honest.frames.slice(1)] }, KEYS);
    expect(checks.filter((check) => check.result === "failed").map((check) => check.id)).toEqual(["bid-decodes"]);
    expect(checks.some((check) => check.id === "confirm-signature" && check.result === "passed")).toBe(true);
  });

  it("says of a plain trade that nobody signed", () => {
    const honest = trade();
    const plain = { ...honest, network_id: null, frames: honest.frames.map((frame) => ({ ...frame, raw: frame.raw.slice(0, 168), key: null })) };
    const checks = verify(plain, { battery: null, aggregator: null });
    expect(verdict(checks)).toMatchObject({ failed: 0, signed: false });
    expect(checks.filter((check) => check.result === "none").map((check) => check.id)).toEqual(["bid-signature", "accept-signature", "confirm-signature"]);
  });

  it("checks a message once that both published, and notices where they differ", () => {
    const honest = trade();
    const [bid, accept, confirm] = honest.frames as [TradeFrame, TradeFrame, TradeFrame];
    const both = verify({ ...honest, frames: [bid, { ...bid, what: "price_setter" }, accept, { ...accept, by: "500" }, confirm] }, KEYS);
    expect(both.filter((check) => check.id === "accept-signature")).toHaveLength(1);
    expect(both.find((check) => check.id === "accept-both")?.result).toBe("passed");
    expect(both.find((check) => check.id === "price_setter-lot")?.result).toBe("passed");
    expect(failed({ ...honest, frames: [bid, accept, { ...confirm, what: "accept", by: "500" }, confirm] })).toContain("accept-both");
  });

  it("compares the Bid with each journal that names it", () => {
    const honest = trade();
    const row = { node: "101", seq: 3, hash: "", kind: "trade", state: "confirmed", time_us: 1, body: { message_id: "1" } };
    expect(failed({ ...honest, rows: [row] })).toEqual(["bid-id-101"]);
  });
});
