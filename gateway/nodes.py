"""A stored node as the API shows it: what it is, what it said last, what it traded. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_STATUS: Final = ("stored_wh", "for_sale_wh", "reserved_wh", "to_deliver_wh", "health", "failure")


def _node(row: Mapping[str, Any], *, online: bool) -> dict[str, Any]:
    key = row["key"]
    return {
        "device_id": str(row["device_id"]),
        "online": online,
        "proven": key is not None,
        "key": None if key is None else str(Pubkey.from_bytes(bytes.fromhex(key))),
        "first_seen_us": row["first_seen_us"],
        "last_seen_us": row["last_seen_us"],
        "rows": row["row"],
    }


def _said(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    status = row["status"]
    return _decode(row["about"]), {} if status is None else _decode(status)


def battery(row: Mapping[str, Any], *, online: bool) -> dict[str, Any]:
    """The fields of `schema.Battery`; `row`: of `tables.nodes`, by name."""
    about, status = _said(row)
    return {
        **_node(row, online=online),
        "mechanism": status.get("mechanism") or about.get("mechanism") or "",
        "capacity_wh": about.get("capacity_wh", 0),
        "feed_in_micro_per_kwh": about.get("feed_in_micro_per_kwh"),
        **{name: status.get(name) for name in _STATUS},
        "status_us": status.get("time_us"),
        "market_us": status.get("market_us"),
        "trades": row["trades"],
        "sold_wh": row["energy_wh"],
        "earned_micro": row["paid_micro"],
        "settled_micro": row["settled_micro"],
    }


def aggregator(row: Mapping[str, Any], *, online: bool) -> dict[str, Any]:
    """The fields of `schema.Aggregator`."""
    about, status = _said(row)
    return {
        **_node(row, online=online),
        "strategy": about.get("strategy") or "",
        "demand_wh": about.get("demand_wh", 0),
        "bought_wh": status.get("bought_wh"),
        "exposed_wh": status.get("exposed_wh"),
        "status_us": status.get("time_us"),
        "market_us": status.get("market_us"),
        "trades": row["trades"],
        "paid_micro": row["paid_micro"],
        "lots_bid": row["lots_bid"],
        "lots_won": row["lots_won"],
    }
