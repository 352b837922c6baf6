"""One example of each answer: one evening trade of a battery, 101, to an aggregator, 501. What the OpenAPI shows."""

from typing import Any, Final

_TIME_US: Final = 1_590_000_000_000_000
_MARKET_US: Final = 1_339_437_600_000_000
_LOT: Final = "1589999998200000"
_KEY: Final = "FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z"
_HASH: Final = "6d1c54a9f3b0e7d28c415af06b9d3e72418fa5c0b7e6d92f310c84ab5de7f960"
_SIGNATURE: Final = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"

NODE: Final[dict[str, Any]] = {
    "device_id": "101",
    "online": True,
    "proven": True,
    "key": _KEY,
    "first_seen_us": _TIME_US - 3_600_000_000,
    "last_seen_us": _TIME_US,
    "rows": 412,
}
BATTERY: Final[dict[str, Any]] = NODE | {
    "mechanism": "english",
    "capacity_wh": 13_500,
    "feed_in_micro_per_kwh": 80_000,
    "stored_wh": 9_120,
    "for_sale_wh": 2_200,
    "reserved_wh": 0,
    "to_deliver_wh": 2_500,
    "health": "excellent",
    "failure": None,
    "status_us": _TIME_US,
    "market_us": _MARKET_US,
    "trades": 18,
    "sold_wh": 41_250,
    "earned_micro": 7_631_250,
    "settled_micro": 7_168_750,
}
AGGREGATOR: Final[dict[str, Any]] = NODE | {
    "device_id": "501",
    "strategy": "intelligent",
    "demand_wh": 67_500,
    "bought_wh": 38_000,
    "exposed_wh": 2_500,
    "status_us": _TIME_US,
    "market_us": _MARKET_US,
    "trades": 16,
    "paid_micro": 6_988_000,
    "lots_bid": 44,
    "lots_won": 17,
}
SAMPLE: Final[dict[str, Any]] = {
    "time_us": _TIME_US,
    "market_us": _MARKET_US,
    "stored_wh": 9_120,
    "for_sale_wh": 2_200,
    "reserved_wh": 0,
    "to_deliver_wh": 2_500,
}
LOT: Final[dict[str, Any]] = {
    "battery": "101",
    "lot_id": _LOT,
    "mechanism": "english",
    "state": "reserved",
    "energy_wh": 2_500,
    "reserve_micro_per_kwh": 125_000,
    "opened_us": _TIME_US - 2_900_000,
    "closed_us": _TIME_US - 40_000,
    "market_us": _MARKET_US,
    "bids": 2,
    "bidders": 2,
    "first_micro_per_kwh": 130_000,
    "setter": "501",
    "setter_micro_per_kwh": 185_000,
    "capped": False,
    "digest": _HASH,
}
BID: Final[dict[str, Any]] = {
    "bidder": "501",
    "message_id": "1589999998870000",
    "energy_wh": 2_500,
    "price_micro_per_kwh": 185_000,
    "state": "standing",
    "time_us": _TIME_US - 1_120_000,
}
TRADE: Final[dict[str, Any]] = {
    "battery": "101",
    "lot_id": _LOT,
    "auction_id": _LOT,
    "aggregator": "501",
    "time_us": _TIME_US,
    "market_us": _MARKET_US,
    "energy_wh": 2_500,
    "price_micro_per_kwh": 185_000,
    "bid_micro_per_kwh": 185_000,
    "paid_micro": 462_500,
    "bidders": 2,
    "first_micro_per_kwh": 130_000,
    "feed_in_micro_per_kwh": 80_000,
    "settlement": "settled",
    "delivery": "delivered",
    "delivered_wh": 2_500,
    "signature": _SIGNATURE,
}
LOT_DETAIL: Final[dict[str, Any]] = LOT | {
    "progress": [
        BID | {"bidder": "502", "message_id": "1589999997300000", "price_micro_per_kwh": 130_000},
        BID,
    ],
    "trades": [TRADE],
}
EVIDENCE: Final[dict[str, Any]] = {
    "node": "101",
    "seq": 407,
    "hash": _HASH,
    "kind": "trade",
    "state": "confirmed",
    "time_us": _TIME_US,
    "body": {
        "bidder": "501",
        "message_id": "1589999998870000",
        "energy_wh": 2_500,
        "price_micro_per_kwh": 185_000,
        "paid_micro": 462_500,
        "auction_id": _LOT,
    },
}
FRAME: Final[dict[str, Any]] = {
    "what": "bid",
    "by": "101",
    "raw": "03" + "00" * 211,
    "key": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
}
"""`raw` is shortened to a pattern here; a real one verifies."""
TRADE_DETAIL: Final[dict[str, Any]] = TRADE | {"network_id": _HASH, "frames": [FRAME], "rows": [EVIDENCE]}
SETTLEMENT: Final[dict[str, Any]] = {
    "battery": "101",
    "lot_id": _LOT,
    "aggregator": "501",
    "state": "settled",
    "amount_micro": 462_500,
    "reason": "",
    "signature": _SIGNATURE,
    "confirmed_us": _TIME_US,
    "time_us": _TIME_US + 14_000_000,
}
SUMS: Final[dict[str, Any]] = {
    "trades": 18,
    "energy_wh": 41_250,
    "paid_micro": 7_631_250,
    "price_micro_per_kwh": 185_000,
    "feed_in_micro_per_kwh": 80_000,
    "first_micro_per_kwh": 131_400,
}
GROUP: Final[dict[str, Any]] = {
    "key": "3",
    **SUMS,
    "low_micro_per_kwh": 181_204.118,
    "high_micro_per_kwh": 188_795.882,
}
LATENCY: Final[dict[str, Any]] = {
    "what": "reply",
    "message": "RESPONSE",
    "node": None,
    "budget_ms": 500.0,
    "count": 880,
    "over_budget": 0,
    "p50_ms": 3.1,
    "p90_ms": 5.4,
    "p99_ms": 11.9,
    "worst_ms": 38.2,
}
EVENT: Final[dict[str, Any]] = {
    "seq": 90_312,
    "type": "SecurityEvent",
    "node": "101",
    "time_us": _TIME_US,
    "market_us": _MARKET_US,
    "event": {
        "type": "SecurityEvent",
        "epoch": "b3f0c1a96d5e2478",
        "seq": 90_312,
        "id": "101/0/408",
        "node": "101",
        "time_us": _TIME_US,
        "market_us": _MARKET_US,
        "device": "666",
        "what": "signature",
    },
}
OVERVIEW: Final[dict[str, Any]] = {
    "version": "0.1.0",
    "epoch": "b3f0c1a96d5e2478",
    "seq": 90_312,
    "batteries": 12,
    "batteries_online": 11,
    "aggregators": 3,
    "aggregators_online": 3,
    "lots": 260,
    "trades": 251,
    "sold_wh": 590_400,
    "paid_micro": 107_452_800,
    "settled": 240,
    "settled_micro": 102_720_000,
    "unsettled": 11,
    "security_events": 1,
    "network_id": _HASH,
}
PROBLEM: Final[dict[str, Any]] = {
    "type": "about:blank",
    "title": "Wrong parameter",
    "status": 422,
    "detail": "there is no parameter `batery`; expected limit, cursor, format, from_us, to_us, battery, aggregator, settlement,"
    " delivery, min_micro_per_kwh",
    "instance": "/api/v1/trades",
}
EXAMPLES: Final[dict[str, Any]] = {
    "Aggregator": AGGREGATOR,
    "Battery": BATTERY,
    "Bid": BID,
    "Evidence": EVIDENCE,
    "Frame": FRAME,
    "Group": GROUP,
    "LatencyRow": LATENCY,
    "Lot": LOT,
    "LotDetail": LOT_DETAIL,
    "Me": {"name": "local", "role": "admin", "via": "session"},
    "Node": NODE,
    "Overview": OVERVIEW,
    "Problem": PROBLEM,
    "Sample": SAMPLE,
    "Settlement": SETTLEMENT,
    "Statistics": {"by": "bidders", "total": SUMS, "groups": [GROUP]},
    "StoredEvent": EVENT,
    "Sums": SUMS,
    "Trade": TRADE,
    "TradeDetail": TRADE_DETAIL,
}
"""By the name of the model."""
CURSOR: Final = "AUbzsqgyMvFMAMCP_x1KpgUAZQAAAAAAAADAsO3-HaYFAA"


def page(name: str) -> dict[str, Any]:
    """A page of one."""
    return {"items": [EXAMPLES[name]], "next_cursor": CURSOR}
