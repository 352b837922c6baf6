"""What anybody may know of a lot: every byte that a battery tells while it is open, for every mechanism and hidden or not."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bess_node.books import LotRules
from bess_node.desk import Desk
from bess_node.watch import Watch
from etp.codes import FailureCode, MessageType
from etp.effects import BidRow, RecordBid, Row
from etp.units import LotId, MicroPerKwh, WallUs, Wh
from market.mechanisms import MECHANISMS
from runtime.feed import publish
from runtime.feed.publish import Lots
from runtime.feed.session import Read
from runtime.feed.wire import Bids, Item, Rows, encode
from runtime.histogram import Metrics
from runtime.io.journal import Journal
from runtime.io.pages import Pages, Place
from tests.support import Bench, at, bench

A, B, C, TRICKSTER = 777_000_501, 777_000_502, 777_000_503, 777_000_504
"""Bidders whose ids are in no other number."""
RESERVE = 12.3457
PRICES = {A: 13.1111, B: 14.2222, C: 9.3333}
MICRO = {device: round(cents * 10_000) for device, cents in PRICES.items()}
SEALED = sorted(name for name, mechanism in MECHANISMS.items() if mechanism.sealed)


class Told:
    """A battery with a journal and a watch; `text` is all that a gateway would have been sent."""

    def __init__(self, path: Path, mechanism: str, *, hide: bool) -> None:
        self.made: Bench = bench(mechanism, reserve=RESERVE, hide=hide, closing_s=1.0)
        self.metrics = Metrics()
        rules = LotRules(MECHANISMS[mechanism], MicroPerKwh(500), 1.0, 60.0, Wh(100), hide)
        self.watch = Watch(self.made.desk, self.metrics, rules=rules, thermometer=False)
        self.journal = Journal.open(path / "state", role="bess", device_id=101)
        self.pages, self.place = Pages(path / "state", hidden=hide), Place()
        self.row = self.bid = 0
        self.rows: list[Any] = []
        self.bids: list[Any] = []
        self.items: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self._written = self._recorded = 0

    @property
    def desk(self) -> Desk:
        """The battery's."""
        return self.made.desk

    def bid_of(self, device: int, second: float, kwh: float = 6.0) -> None:
        """A device's bid, counted as the daemon counts it."""
        frame = self.made.bid(device, PRICES[device], kwh, second)
        self.metrics.received(MessageType.BID, frame.message_id, at(second))

    async def tell(self, second: float, lots: Lots | None = None) -> str:
        """All that is sent at an instant, as bytes on the wire; a page reads as of `lots`."""
        effects = self.made.effects[self._recorded :]
        self._recorded = len(self.made.effects)
        for effect in effects:
            if isinstance(effect, RecordBid):
                self.journal.bid(effect.row)
        rows, self._written = self.made.rows[self._written :], len(self.made.rows)
        await self.journal.commit(rows)
        said = [encode(each) for each in await self.pages_now(lots)]
        now = at(second)
        self.items += self.watch.look(now)
        self.items.append(("status", self.watch.status(sessions=3, unsettled=None)))
        self.items.append(("metrics", self.watch.metrics(self.journal.waiting_rows)))
        said += [msgspec.json.encode(Item(kind, now.wall_us, body)) for kind, body in self.items]
        text = b"\n".join(said).decode()
        self.text += text
        return text

    async def pages_now(self, lots: Lots | None) -> list[Bids | Rows]:
        """What of the journal may be told, and the places of the next one."""
        lots = lots or self.lots()
        said: list[Bids | Rows] = []
        while True:
            page = await self.pages.read(Read(self.row, self.bid), self.place, lots)
            self.bids += page.bids
            self.rows += page.rows
            self.row, self.bid = page.last_row, page.last_bid
            said += [Bids(page.bids, page.last_bid), Rows(page.rows, page.last_row, page.last_hash.hex())]
            if not page.more:
                return said

    def lots(self) -> Lots:
        """Which lots have ended now."""
        return Lots.at(closed_below=self.desk.closed_below, wall_us=at(0).wall_us)


@asynccontextmanager
async def telling(path: Path, mechanism: str, *, hide: bool) -> AsyncIterator[Told]:
    """A battery that is let go at the end."""
    told = Told(path, mechanism, hide=hide)
    try:
        yield told
    finally:
        await told.pages.close()
        told.journal.close()


@pytest.mark.parametrize("hide", [False, True], ids=["shown", "hidden"])
@pytest.mark.parametrize("mechanism", sorted(MECHANISMS))
async def test_nothing_secret_is_told_while_a_lot_is_open(tmp_path: Path, mechanism: str, hide: bool) -> None:
    """Three bids, one below the reserve, and a bid's id used twice: no bidder, price or hidden reserve in any byte."""
    async with telling(tmp_path, mechanism, hide=hide) as told:
        assert str(told.desk.public_lot(at(0.5))["lot_id"]) in await told.tell(0.5)
        told.bid_of(C, 0.6)
        if not MECHANISMS[mechanism].immediate:
            told.bid_of(A, 1.0)
            twice = told.made.bid(B, PRICES[B], 6.0, 1.1)
            told.made.give(twice._replace(bid_price=15.5555), 1.2)
        assert told.desk.public_lot(at(1.3))["lot_id"]
        text = await told.tell(1.3)
        assert not told.bids
        for device in (A, B, C):
            assert str(device) not in text.replace(f'"bidder":{B},"what":"bid_id_reused"', "")
            if mechanism != "english" or device != B:
                assert str(MICRO[device]) not in text
        assert "155555" not in text
        assert encode_price(15.5555) not in text
        assert (str(round(RESERVE * 10_000)) in text) is not hide
        standing = [body["standing_micro_per_kwh"] for kind, body in told.items if kind == "lot"]
        bidders = [body["bidders"] for kind, body in told.items if kind == "lot"]
        if mechanism == "english":
            assert (standing[-1], bidders[-1]) == (MICRO[B], 3)
        else:
            assert set(standing) == set(bidders) == {None}


def encode_price(cents: float) -> str:
    """A price as the eight bytes of a frame, in hex: how evidence would carry it."""
    return struct.pack("<d", cents).hex()


@pytest.mark.parametrize("hide", [False, True], ids=["shown", "hidden"])
@pytest.mark.parametrize("mechanism", SEALED)
async def test_a_bid_in_a_sealed_lot_changes_nothing_that_is_told(tmp_path: Path, mechanism: str, hide: bool) -> None:
    """With bids and without them the same bytes: not even that there is one can be learnt."""
    async with telling(tmp_path, mechanism, hide=hide) as told:
        told.metrics.received(MessageType.BID, at(0.1).wall_us - 1000, at(0.1))
        told.watch.look(at(0.2))
        before = (told.desk.public_lot(at(1.5)), told.watch.metrics(0), told.watch.status(sessions=3, unsettled=None))
        told.bid_of(C, 0.6)
        told.bid_of(A, 1.0)
        told.bid_of(B, 1.1)
        after = (told.desk.public_lot(at(1.5)), told.watch.metrics(0), told.watch.status(sessions=3, unsettled=None))
        assert after == before
        assert told.watch.look(at(1.5))[1:] == []
        told.made.advance(2.5)
        assert told.watch.metrics(0)["histograms"]["age_ms"]["BID"]["count"] == 4


@pytest.mark.parametrize("hide", [False, True], ids=["shown", "hidden"])
@pytest.mark.parametrize("mechanism", sorted(MECHANISMS))
async def test_once_it_has_closed_its_bids_come_before_its_end(tmp_path: Path, mechanism: str, hide: bool) -> None:
    """All bids, but those that say where a hidden reserve is; then the rows, the reserve among them unless it is hidden."""
    async with telling(tmp_path, mechanism, hide=hide) as told:
        for device, second in ((C, 0.6), (A, 1.0), (B, 1.1)):
            told.bid_of(device, second)
        told.made.advance(2.5)
        await told.tell(2.5)
        below = [] if hide else [(C, "below_reserve")]
        in_time = [(A, "standing")] if MECHANISMS[mechanism].immediate else [(A, "standing"), (B, "standing")]
        assert [(bid.bidder, bid.state) for bid in told.bids][: len(below + in_time)] == below + in_time
        ends = [row for row in told.rows if row.kind == "lot"]
        assert {bid.lot_id for bid in told.bids} >= {row.lot_id for row in ends}
        assert ends[0].body["reserve_micro_per_kwh"] == (None if hide else round(RESERVE * 10_000))
        promise = next(row for row in told.rows if row.kind == "promise")
        assert promise.body["auction_id"] == ends[0].lot_id
        assert str(MICRO[A]) in told.text
        assert str(A) in told.text


async def test_an_asker_that_is_behind_gets_neither_bids_nor_end(tmp_path: Path) -> None:
    """The journal is read by what was open when it was asked: the lot's end, which is there by now, waits with its bids."""
    async with telling(tmp_path, "vickrey", hide=False) as told:
        told.bid_of(A, 1.0)
        behind = told.lots()
        told.made.advance(2.5)
        assert str(A) not in await told.tell(2.5, behind)
        assert (told.rows, told.bids) == ([], [])
        assert str(A) in await told.tell(2.6)
        assert [row.kind for row in told.rows] == ["lot", "promise", "promise"][: len(told.rows)]


async def test_bids_of_a_lot_that_opened_after_the_question_wait(tmp_path: Path) -> None:
    """Asked while nothing was for sale; by the time that the journal is read, there is a lot with a bid."""
    async with telling(tmp_path, "first-price", hide=False) as told:
        ids = told.made.ids
        asked = Lots.at(closed_below=ids.last + 1, wall_us=at(1).wall_us)
        opened = ids.next(at(1.5).wall_us)
        told.made.effects.append(RecordBid(BidRow(LotId(opened), A, 1, 100, MICRO[A], "standing", at(1.5).wall_us)))
        assert str(A) not in await told.tell(1.6, asked)
        assert told.bids == []


async def test_an_id_that_was_never_given_holds_nothing_up(tmp_path: Path) -> None:
    """A bid that names a lot far ahead of all clocks is of no lot, and is told with those behind it once the open one has ended."""
    async with telling(tmp_path, "first-price", hide=False) as told:
        far = [BidRow(lot, TRICKSTER, 1, 100, 5, "lot_closed", at(1).wall_us) for lot in (2**63, 2**64 - 1, 0)]
        told.made.effects += [RecordBid(bid) for bid in far]
        await told.tell(1.0)
        assert told.bids == []
        await told.tell(2.0, Lots(2**62, 2**62))
        assert [(bid.number, bid.lot_id) for bid in told.bids] == [(1, 0), (2, 0), (3, 0)]


@pytest.mark.parametrize("with_a_bid", [False, True])
async def test_no_probe_tells_whether_the_open_lot_has_a_bid(tmp_path: Path, with_a_bid: bool) -> None:
    """A bid for a lot that is over is not told at once where the open sealed lot has none, since it would wait where it has one."""
    async with telling(tmp_path, "vickrey", hide=False) as told:
        if with_a_bid:
            told.bid_of(A, 1.0)
        told.made.effects.append(RecordBid(BidRow(LotId(1), TRICKSTER, 1, 100, 5, "lot_closed", at(1.1).wall_us)))
        assert str(TRICKSTER) not in await told.tell(1.2)
        assert told.bids == []


# -- the table


def test_every_kind_that_a_battery_writes_is_thought_of() -> None:
    """A key that is neither told nor named here as kept back has been forgotten by the table."""
    kept_back = {
        "security": {"frame_0", "frame_1"},
        "energy": {"stored_uwh", "micro_cycles"},
        "answer": set[str](),
    }
    made = bench()
    twice = made.bid(A, 13.0, 1, 1.0)
    made.give(twice._replace(bid_price=13.5), 1.1)
    made.advance(1.5)
    made.confirm(made.last(A), A, 1.6)
    made.bid(B, 13.0, 1, 3)
    made.do(made.desk.fail(FailureCode.INVERTER, at(3.1)), at(3.1))
    assert {row.kind for row in made.rows} >= {"lot", "promise", "trade", "energy", "security", "answer"}
    for row in made.rows:
        assert set(row.body) - set(publish.PUBLISHED[row.kind]) <= kept_back.get(row.kind, set()), row


def test_a_kind_that_is_not_in_the_table_is_not_told() -> None:
    """Nor a key, nor a text that is longer than any honest one; an old lot row says nothing of its reserve."""
    assert publish.row(1, b"", Row("secret", 1, "x", WallUs(1), {"bidder": 1})) is None
    told = publish.row(1, b"\x01", Row("trade", 1, "x", WallUs(1), {"bidder": 1, "pin": 9, "battery": "x" * 2_001}))
    assert told is not None
    assert (told.body, told.hash) == ({"bidder": 1, "battery": None}, "01")
    old = publish.row(1, b"", Row("lot", 1, "reserved", WallUs(1), {"bids": 3, "reserve_micro_per_kwh": 5}))
    assert old is not None
    assert old.body == {"bids": 3, "reserve_micro_per_kwh": None}


# -- what changes


def test_a_glance_sees_what_a_look_would_tell() -> None:
    """Nothing new: no look. A better bid, a failure, a lot that is sold: a look, and each is told once."""
    made = bench(closing_s=0.2)
    rules = LotRules(MECHANISMS["english"], MicroPerKwh(500), 0.2, 60.0, Wh(100), hide_reserve=False)
    watch = Watch(made.desk, Metrics(), rules=rules, thermometer=False)
    assert [kind for kind, _ in watch.look(at(0.1))] == ["lot"]
    assert not watch.glance()
    made.bid(A, 13.0, 6.412, 1.0)
    assert watch.glance()
    (kind, body), *rest = watch.look(at(1.0))
    assert (kind, body["standing_micro_per_kwh"], body["bidders"], body["closes_us"], rest) == (
        "lot",
        130_000,
        1,
        at(1.2).wall_us,
        [],
    )
    assert not watch.glance()
    made.advance(1.3)
    made.confirm(made.last(A), A, 1.4)
    told = dict(watch.look(at(1.4)))
    assert told["depleted"] == {"stored_wh": 13_500, "for_sale_wh": 0}
    assert told["lot"]["lot_id"] == 0
    made.do(made.desk.fail(FailureCode.INVERTER, at(1.5)), at(1.5))
    assert watch.glance()
    assert watch.look(at(1.5)) == [("failure", {"failure": "inverter"})]
    made.do(made.desk.recovered(at(1.6)), at(1.6))
    assert [kind for kind, _ in watch.look(at(1.6))][:1] == ["failure"]


def test_depleted_waits_for_promises() -> None:
    """While everything is promised and may come back, it is not depleted; it is recharged once it has a lot again."""
    made = bench(closing_s=0.2)
    rules = LotRules(MECHANISMS["english"], MicroPerKwh(500), 0.2, 60.0, Wh(100), hide_reserve=False)
    watch = Watch(made.desk, Metrics(), rules=rules, thermometer=False)
    made.bid(A, 13.0, 6.412, 1.0)
    made.advance(1.3)
    assert made.desk.reserved_wh == 6_412
    assert [kind for kind, _ in watch.look(at(1.3))] == ["lot"]
    made.advance(2.5)
    assert [kind for kind, _ in watch.look(at(2.5))] == ["lot"]


def test_the_status_of_a_battery() -> None:
    """Whole units; the temperature only where it is measured."""
    made = bench()
    rules = LotRules(MECHANISMS["english"], MicroPerKwh(500), 0.2, 60.0, Wh(100), hide_reserve=False)
    watch = Watch(made.desk, Metrics(), rules=rules, thermometer=True)
    watch.look(at(0))
    assert watch.status(sessions=2, unsettled=(3, 17)) == {
        "stored_wh": 13_500,
        "for_sale_wh": 6_412,
        "reserved_wh": 0,
        "to_deliver_wh": 0,
        "health": "excellent",
        "voltage_mv": 58_400,
        "discharge_w": 0,
        "temperature_mc": 25_000,
        "failure": None,
        "sessions": 2,
        "unsettled": 3,
        "oldest_unsettled_us": 17,
    }
