"""docs/export.md against real journals: every key and state of every row is documented, and every documented one occurs."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.export import COLUMNS, SHOWN, lines
from contracts import outbox
from etp import messages
from etp.codes import FailureCode
from etp.effects import BidRow, RecordBid, Row
from etp.frame import encode
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, MicroPerKwh, Wh
from runtime.io.journal import Journal
from runtime.io.journal_reader import JournalReader
from sim.world import World
from tests.support import Bench, at, bench, plan

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
ALWAYS = "every row"
STATES = {
    "lot": {"reserved", "void"},
    "promise": {"reserved", "confirmed", "released", "confirming", "finished"},
    "trade": {"confirmed"},
    "energy": {"pending", "delivered", "short", "level"},
    "security": {"bid_id_reused", "confirm_id_reused"},
}


TERMS: dict[str, Any] = {
    "energy": Wh(1000),
    "paid": MicroPerKwh(130_000),
    "bid_price": MicroPerKwh(130_000),
    "offer": messages.Offer(Wh(2000), Wh(1000)),
}


def sections() -> dict[str, str]:
    """The text of each section by its heading."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(role: str) -> dict[str, set[str]]:
    """Kind → keys that this role's rows may have beside those of every row."""
    found = {}
    for kind, text in sections().items():
        keys = re.findall(r"^\| `(\w+)` \| (\w+) \|", text, flags=re.MULTILINE)
        found[kind] = {key for key, whose in keys if whose in (role, "both")}
    return found


async def exported(path: Path, role: str, rows: Iterable[Row], bids: Iterable[BidRow] = ()) -> list[dict[str, Any]]:
    """What `etp export` prints of a journal with these rows."""
    journal = Journal.open(path, role=role, device_id=101)
    for bid in bids:
        journal.bid(bid)
    await journal.commit(tuple(rows))
    journal.close()
    reader = JournalReader(path)
    found = list(lines(reader))
    reader.close()
    return found


def trade(made: Bench, device: int, second: float) -> float:
    """One Bid, its Accept and Confirm; returns when it is done."""
    made.bid(device, 13.0, 1, second)
    made.advance(second + 0.3)
    made.confirm(made.last(device), device, second + 0.4)
    return second + 0.5


def eventful_day() -> Bench:
    """A battery that sells, delivers, gets ids twice, is left without a Confirm, and fails with bids and trades open."""
    made = bench(discharge_kw=1000)
    now = trade(made, 500, 1)
    made.advance(now + 10)
    bid = made.bid(501, 9.0, 1, 12)
    made.give(bid._replace(bid_price=9.5), 12.1)
    made.bid(502, 13.0, 1, 13)
    made.advance(15)
    trade(made, 500, 20)
    confirm = made.confirm(made.last(500), 500, 20.4)
    made.give(confirm._replace(bid_price=14.0), 20.45)
    made.bid(500, 13.0, 1, 20.5)
    made.do(made.desk.fail(FailureCode.INVERTER, at(20.6)), at(20.6))
    return made


def signed_rows() -> list[Row]:
    """What a battery writes that sells by signed records."""
    world = World(plan(3))
    world.run()
    return [row for node in world.batteries for row in node.disk.rows if row.kind in ("lot", "promise")]


def settlement_rows() -> list[Row]:
    """A trade's payment: owed, and signed for."""
    pair = KeyPair(bytes(32))
    frame = messages.confirm(DeviceId(500), messages.accept(DeviceId(101), **TERMS))
    unsigned = {"counter": 1, "lot_id": 7, "recipient": bytes(32), "network": bytes(32)}
    entry = outbox.confirmed(seal(frame, encode(frame), **unsigned, sign=pair.sign), pair.public, at(1).wall_us)
    attempt = outbox.Attempt(outbox.Act.SETTLE, b"bytes", bytes(64), bytes(32), 150)
    signed = replace(entry, attempt=attempt).moved(outbox.OutboxState.SETTLING, at(2).wall_us)
    return [outbox.row(entry), outbox.row(signed)]


def check(found: list[dict[str, Any]], role: str) -> dict[str, set[str]]:
    """Each row has the columns, documented keys beside them, plain values; returns the keys seen by kind."""
    allowed, seen = documented(role), defaultdict(set)
    for row in found:
        assert set(COLUMNS) <= set(row)
        seen[row["kind"]] |= set(row) - set(COLUMNS)
        assert seen[row["kind"]] <= allowed[row["kind"]], row
        assert all(value is None or isinstance(value, int | str) for value in row.values()), row
    return seen


def test_the_columns_are_documented() -> None:
    """The table of every row names the stable columns, the sections name the kinds."""
    assert documented("battery")[ALWAYS] == set(COLUMNS) == documented("aggregator")[ALWAYS]
    assert set(sections()) == {ALWAYS, "bid", *SHOWN}


async def test_a_battery_s_rows(tmp_path: Path) -> None:
    """All kinds and states but `unresolved`: nothing undocumented, nothing documented that does not occur."""
    made = eventful_day()
    made.rows += [*signed_rows(), *settlement_rows()]
    bids = [effect.row for effect in made.effects if isinstance(effect, RecordBid)]
    found = await exported(tmp_path / "state", "bess", made.rows, bids)
    seen, text = check(found, "battery"), sections()
    assert {kind: keys for kind, keys in documented("battery").items() if kind != ALWAYS} == dict(seen)
    states = {(row["kind"], row["state"]) for row in found}
    for kind, state in states:
        assert f"`{state}`" in text[kind]
    for kind in ("lot", "energy", "security"):
        assert {state for at_kind, state in states if at_kind == kind} == STATES[kind]


async def test_an_aggregator_s_rows(tmp_path: Path) -> None:
    """Rows of simulated buyers: the documented keys, no more and no fewer."""
    world = World(plan(3))
    world.run()
    rows = [row for node in world.buyers for row in node.disk.rows]
    found = await exported(tmp_path / "state", "aggregator", rows)
    seen, allowed = check(found, "aggregator"), documented("aggregator")
    assert {kind: allowed[kind] for kind in ("promise", "trade")} == dict(seen)
    assert {row["state"] for row in found if row["kind"] == "promise"} <= STATES["promise"]
