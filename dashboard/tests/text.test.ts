import { describe, expect, it } from "vitest";

import type { Group, Statistics } from "../src/contract/rest";
import { parseJson, query } from "../src/net/api";
import { nextPath, routeOf } from "../src/routing/routes";
import { age, duration, fromLocalField, isReplay, moment, offsetName, toLocalField } from "../src/text/time";
import { average, celsius, cents, energy, kwh, money, ms, percent, plural, price, signedPrice, volts } from "../src/text/units";
import { against, byBidders, overall } from "../src/text/verdict";

describe("values with units", () => {
  it.each([
    [price(185_000), "18.50 c/kWh"],
    [price(127_501), "12.7501 c/kWh"],
    [price(null), "–"],
    [average(108_666), "10.87 c/kWh"],
    [cents(185_050, 4), "18.505"],
    [money(462_500), "46.25 c"],
    [money(12_345_678_900), "1,234,567.89 c"],
    [energy(2_500), "2.5 kWh"],
    [energy(1_234_567), "1.23 MWh"],
    [kwh(39), "0.039"],
    [percent(1, 3), "33 %"],
    [percent(1, 0), "–"],
    [signedPrice(6_200), "+0.62 c/kWh"],
    [signedPrice(-6_200), "−0.62 c/kWh"],
    [signedPrice(0), "±0.00 c/kWh"],
    [ms(0.456), "0.46 ms"],
    [ms(3_000), "3,000 ms"],
    [volts(48_400), "48.4 V"],
    [celsius(21_500), "21.5 °C"],
    [celsius(null), "–"],
    [plural(1, "battery", "batteries"), "1 battery"],
    [plural(1_200, "lot"), "1,200 lots"],
  ])("%s", (made, wanted) => expect(made).toBe(wanted));
});

describe("times", () => {
  const us = Date.UTC(2020, 4, 21, 3, 4, 5, 678) * 1_000;

  it("are told in a zone", () => {
    expect(moment(us, "full", "UTC")).toBe("21 May 2020, 03:04:05.678");
    expect(moment(us, "minute", "Australia/Sydney")).toBe("21 May, 13:04");
    expect(moment(us, "time", "UTC")).toBe("03:04:05");
    expect(moment(null)).toBe("–");
    expect(offsetName(us / 1_000, "Australia/Sydney")).toBe("UTC+10");
    expect(offsetName(us / 1_000, "UTC")).toBe("UTC");
  });

  it("are short where they last", () => {
    expect([500_000, 42e6, 300e6, 7_300e6, 3 * 86_400e6].map((value) => duration(value))).toEqual(["0.5 s", "42 s", "5 min", "2 h", "3 d"]);
    expect([-1, 3_999_999, 65e6].map((value) => age(value))).toEqual(["0 s", "3 s", "65 s"]);
  });

  it("are a replay more than an hour from the clock", () => {
    expect(isReplay(0, 3_600e6)).toBe(false);
    expect(isReplay(0, 3_601e6)).toBe(true);
  });

  it("go through a field of the form and back", () => {
    const text = toLocalField(String(us));
    expect(fromLocalField(text)).toBe(String(Math.floor(us / 60e6) * 60e6));
    expect([toLocalField(null), toLocalField("x"), toLocalField("9".repeat(19)), fromLocalField(""), fromLocalField("x")]).toEqual(["", "", "", null, null]);
  });
});

function group(key: string, trades: number, at: number, half: number | null): Group {
  return {
    key,
    trades,
    energy_wh: 1_000 * trades,
    paid_micro: at * trades,
    price_micro_per_kwh: at,
    feed_in_micro_per_kwh: 60_000,
    first_micro_per_kwh: 100_000,
    low_micro_per_kwh: half === null ? null : at - half,
    high_micro_per_kwh: half === null ? null : at + half,
  };
}

function all(trades: number, at: number, half: number | null): Statistics {
  const one = group("all", trades, at, half);
  return { by: "all", total: one, groups: trades === 0 ? [] : [one] };
}

describe("what is said of competition", () => {
  it("is nothing without trades, and too little with a few", () => {
    expect(overall(all(0, 0, null))).toEqual([{ tone: "open", text: "No trade yet, so there is nothing to compare." }]);
    expect(overall(all(9, 110_000, 5_000))).toEqual([{ tone: "open", text: "9 trades so far: too few to say whether competition pays (at least 10)." }]);
    expect(overall(all(40, 110_000, null))[0]?.text).toContain("too few");
  });

  it("is a gain only where the whole interval is above", () => {
    const said = overall(all(40, 110_000, 5_000));
    expect(said.map((sentence) => sentence.tone)).toEqual(["open", "good", "good"]);
    expect(said[0]?.text).toBe("Over 40 trades batteries were paid 11.00 c/kWh on average, with 95 % confidence between 10.50 c/kWh and 11.50 c/kWh.");
    expect(said[1]?.text).toBe("That is above the feed-in tariff (6.00 c/kWh): +5.00 c/kWh (83.3 %).");
  });

  it("is no difference where the baseline lies within, and a loss where it lies above", () => {
    expect(against(group("all", 40, 101_000, 5_000), 100_000, "it")).toEqual({
      tone: "open",
      text: "It (10.00 c/kWh) lies within that interval: these trades show no difference.",
    });
    expect(against(group("all", 40, 90_000, 5_000), 100_000, "it")).toEqual({ tone: "bad", text: "That is below it (10.00 c/kWh): −1.00 c/kWh (10.0 %)." });
    expect(against(group("all", 40, 105_000, 5_000), 100_000, "it")?.tone).toBe("open");
    expect(against(group("all", 40, 105_000, 5_000), null, "it")).toBeNull();
  });

  it("compares the fewest bidders with the most, where both have enough trades", () => {
    const one = group("1", 20, 100_000, 2_000);
    expect(byBidders([group("4", 20, 120_000, 2_000), one])).toEqual({
      tone: "good",
      text: "Lots with 4 bidders paid 12.00 c/kWh, those with 1 bidder 10.00 c/kWh: more bidders, a better price.",
    });
    expect(byBidders([one, group("4", 20, 103_000, 2_000)])).toMatchObject({ tone: "open" });
    expect(byBidders([one, group("4", 20, 90_000, 2_000)]).tone).toBe("bad");
    expect(byBidders([one, group("4", 9, 120_000, 2_000)]).text).toContain("Too few trades");
    expect(byBidders([group("0", 50, 120_000, 1_000), one]).text).toContain("Too few trades");
    expect(byBidders([group("10", 20, 130_000, 2_000), group("2", 20, 100_000, 2_000)]).text).toContain("Lots with 10 bidders");
  });
});

describe("addresses", () => {
  it("name a page, and nothing else does", () => {
    expect(routeOf("/")).toEqual({ page: "market" });
    expect(routeOf("/batteries/")).toEqual({ page: "batteries" });
    expect(routeOf("/batteries/18446744073709551615")).toEqual({ page: "battery", id: "18446744073709551615" });
    expect(routeOf("/aggregators/500")).toEqual({ page: "aggregator", id: "500" });
    expect(routeOf("/trades/101/7")).toEqual({ page: "trade", battery: "101", lot: "7" });
    expect(routeOf("/lots/101/7")).toEqual({ page: "lot", battery: "101", lot: "7" });
    for (const path of ["/nowhere", "/lots", "/lots/101", "/batteries/x", "/batteries/101/7", "/trades/101/7/8", "/trades/../x/y", "//evil.example"]) {
      expect(routeOf(path), path).toEqual({ page: "unknown" });
    }
  });

  it("lead after the login back to this site only", () => {
    expect(nextPath("?next=%2Ftrades%3Fbattery%3D101")).toBe("/trades?battery=101");
    for (const next of ["", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/login?next=/"]) {
      expect(nextPath(`?next=${encodeURIComponent(next)}`), next).toBe("/");
    }
  });

  it("leave out filters that are not set", () => {
    expect(query("/trades", { battery: "101", cursor: null, settlement: "", limit: 5 })).toBe("/trades?battery=101&limit=5");
    expect(query("/trades", {})).toBe("/trades");
  });
});

describe("JSON", () => {
  it("keeps integers beyond 2^53 from being rounded silently, where the engine tells their digits", () => {
    const read = parseJson('{"id": 18446744073709551615, "small": 7, "part": 1.5}') as Record<string, unknown>;
    expect([read["small"], read["part"]]).toEqual([7, 1.5]);
    const told = "rawJSON" in JSON;
    expect(read["id"]).toBe(told ? "18446744073709551615" : 2 ** 64);
  });
});
