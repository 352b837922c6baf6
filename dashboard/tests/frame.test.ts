import { describe, expect, it } from "vitest";

import { fromHex, toBase58, toHex } from "../src/protocol/bytes";
import { FIELDS, FRAME_SIZE, type FieldName, decodeFrame, invalid } from "../src/protocol/frame";
import { FRAMES, INVALID } from "./vectors";

describe("the frame", () => {
  it("has 84 bytes without padding", () => {
    const last = FIELDS.at(-1);
    expect((last?.offset ?? 0) + (last?.size ?? 0)).toBe(FRAME_SIZE);
    expect(FIELDS.find((field) => field.name === "termination_code")?.offset).toBe(58);
  });

  it.each(FRAMES.frames)("reads $name as an existing implementation wrote it", ({ hex, ...values }) => {
    const frame = decodeFrame(fromHex(hex));
    for (const [field, value] of Object.entries(values).filter(([name]) => name !== "name")) expect(Number(frame[field as FieldName])).toBe(value);
    expect(invalid(frame)).toBeNull();
  });

  it.each(INVALID.frames)("refuses $name", ({ hex, reason }) => {
    const bytes = fromHex(hex);
    if (bytes.length !== FRAME_SIZE) {
      expect(() => decodeFrame(bytes)).toThrow(reason);
      return;
    }
    const said = invalid(decodeFrame(bytes));
    // Numbers are written differently in Python (1e+06, inf); which field, and what would be right, is the same.
    const field = /^\w+( of a Bid)? is /.exec(reason)?.[0];
    expect(field).toBeDefined();
    expect(said?.startsWith(field ?? "?")).toBe(true);
    expect(said?.split("; ")[1]?.replaceAll("1000000", "1e+06")).toBe(reason.split("; ")[1]);
  });

  it("reads -0 as 0", () => {
    const bytes = new Uint8Array(FRAME_SIZE);
    bytes[25] = 0x80;
    expect(Object.is(decodeFrame(bytes).bid_price, 0)).toBe(true);
  });

  it("keeps a u64 whole", () => {
    const bytes = new Uint8Array(FRAME_SIZE).fill(0xff, 9, 17);
    expect(decodeFrame(bytes).device_id).toBe(18_446_744_073_709_551_615n);
  });
});

describe("bytes", () => {
  it("refuses what is no hex", () => {
    for (const wrong of ["0", "0g", "0x00", " 00"]) expect(() => fromHex(wrong)).toThrow(RangeError);
    expect(toHex(fromHex("00ffA0"))).toBe("00ffa0");
  });

  it("writes base58 as Solana does", () => {
    expect(toBase58(new Uint8Array(32))).toBe("1".repeat(32));
    expect(toBase58(Uint8Array.of(0, 0, 1))).toBe("112");
    expect(toBase58(fromHex("ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"))).toBe("GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB");
    expect(toBase58(new Uint8Array())).toBe("");
  });
});
