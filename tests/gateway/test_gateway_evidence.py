"""One trade from bid to chain: which messages and rows belong to it, in `signed` and in `plain`."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from etp.codes import Role
from etp.registry import Member, Network, Registry
from etp.units import DeviceId
from gateway import schema, tables
from gateway.evidence import StoredRow, Traded, frames, is_about, shown
from tests.gateway import story

TRADE = Traded(battery=101, lot_id=20, auction_id=10, aggregator=501, message_id=2**64 - 1)
SELLERS = [
    StoredRow(101, 1, "h", "lot", 10, "reserved", 1, {"setter_record": "aa", "setter_bidder": 502}),
    StoredRow(101, 2, "h", "promise", 20, "reserved", 2, {"bid_record": "bb", "message_id": 2**64 - 1}),
    StoredRow(101, 3, "h", "trade", 20, "confirmed", 4, {}),
    StoredRow(101, 4, "h", "answer", 20, "answered", 4, {"confirm": "cc", "answer": "dd"}),
]
BUYERS = [
    StoredRow(501, 8, "h", "promise", 20, "confirming", 3, {"battery": 101, "accept": "ee", "confirm": "cc"}),
    StoredRow(
        501, 9, "h", "promise", 20, "finished", 5, {"battery": 101, "accept": "ee", "confirm": "cc", "answer": "dd"}
    ),
]
OTHERS = [
    StoredRow(101, 5, "h", "promise", 10, "reserved", 2, {"bid_record": "ff"}),  # the lot's first winner
    StoredRow(101, 6, "h", "lot", 20, "void", 2, {}),
    StoredRow(501, 10, "h", "trade", 20, "confirmed", 3, {"battery": 102}),  # another battery's lot of the same number
    StoredRow(501, 11, "h", "promise", 0, "finished", 3, {"battery": 101, "bidder": 501, "message_id": 5}),
    StoredRow(502, 12, "h", "promise", 20, "finished", 3, {"battery": 101}),
]


def key_of(device_id: int) -> str:
    """A key that names its owner."""
    return f"key of {device_id}"


def test_rows_of_both_sides_and_of_nobody_else() -> None:
    """The auction's own lot row too; not what its other winner, another battery or a third party says."""
    assert all(is_about(TRADE, row) for row in SELLERS + BUYERS)
    wrong = [row.seq for row in OTHERS if is_about(TRADE, row)]
    assert wrong == [6]  # of the trade's own lot_id, which no lot row has but by a lie of the battery: it is shown


def test_in_plain_a_buyers_rows_are_found_by_their_bid() -> None:
    """Bidder and message_id, at that battery."""
    body = {"battery": 101, "bidder": 501, "message_id": 2**64 - 1}
    row = StoredRow(501, 1, "h", "promise", 0, "finished", 3, body)
    assert is_about(TRADE, row)
    assert not is_about(TRADE, row._replace(body=body | {"message_id": 1}))
    assert not is_about(TRADE, row._replace(body=body | {"battery": 102}))


def test_frames_come_in_their_order_with_their_senders_keys() -> None:
    """What both published is there from both; the price setter's key is the one of whoever bid."""
    found = frames(TRADE, SELLERS + BUYERS, key_of)
    assert [(each["what"], each["by"], each["raw"], each["key"]) for each in found] == [
        ("bid", "101", "bb", "key of 501"),
        ("price_setter", "101", "aa", "key of 502"),
        ("accept", "501", "ee", "key of 101"),
        ("confirm", "101", "cc", "key of 501"),
        ("confirm", "501", "cc", "key of 501"),
        ("answer", "101", "dd", "key of 101"),
        ("answer", "501", "dd", "key of 101"),
    ]
    assert [schema.Frame.model_validate(each) for each in found]


def test_ids_in_bodies_are_texts() -> None:
    """A u64 does not fit a JavaScript number."""
    found = shown(SELLERS[1])
    assert found["body"]["message_id"] == str(2**64 - 1)
    schema.Evidence.model_validate(found, strict=True)


def stored(row: StoredRow) -> dict[str, Any]:
    """As a row of the table."""
    return row._asdict() | {"fork": 0, "body": json.dumps(dict(row.body)), "hash": story.HASH}


async def test_a_trade_is_answered_with_its_evidence(tmp_path: Path) -> None:
    """From the tables, `signed` and `plain` rows alike, with registered keys and the market's id."""
    trade = story.trade(2, battery=101, aggregator=501, lot_id=20, auction_id=10, message_id=2**64 - 1)
    at = trade["time_us"]
    plain = StoredRow(
        501, 99, "h", "promise", 0, "confirming", at, {"battery": 101, "bidder": 501, "message_id": 2**64 - 1}
    )
    late = plain._replace(seq=98, time_us=at + 10**9 * 3600)
    registry = Registry(
        Network("m"), [Member(DeviceId(101), Role.BESS, b"\1" * 32), Member(DeviceId(501), Role.AGGREGATOR, b"\2" * 32)]
    )
    async with story.serving(tmp_path, registry=registry) as (client, engine):
        async with engine.begin() as connection:
            await connection.execute(insert(tables.trades), [trade])
            await connection.execute(
                insert(tables.rows), [stored(row) for row in (*SELLERS, *BUYERS, *OTHERS, plain, late)]
            )
        answer = await client.get("/trades/101/20")
        found = schema.TradeDetail.model_validate(answer.json(), strict=True)
    assert found.network_id == registry.network.network_id.hex()
    assert [(row.node, row.seq) for row in found.rows] == [
        ("101", 1), ("101", 2), ("101", 6), ("501", 8), ("101", 3), ("101", 4), ("501", 9), ("501", 99),
    ]  # fmt: skip
    assert [frame.key for frame in found.frames if frame.what == "bid"] == ["02" * 32]
    assert [frame.key for frame in found.frames if frame.what == "price_setter"] == [None]
