"""Pages of a journal: bids before the rows that follow them, in bounded steps, whatever is written meanwhile."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from etp.effects import BidRow, Row
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, WallUs, Wh
from runtime.feed.publish import NO_AUCTIONS, Lots
from runtime.feed.session import Check, Page, Read
from runtime.feed.wire import MAX_MESSAGE, ROWS_AT_ONCE, Rows, encode
from runtime.io import journal as journal_module
from runtime.io.journal import Journal
from runtime.io.pages import Pages, Place

ENDED = Lots(10, 20)


def row(number: int, kind: str = "trade", text: str = "") -> Row:
    """A row."""
    return Row(kind, LotId(number), "reserved", WallUs(1), {"bidder": 500, "reason": text, "accept": text}, str(number))


class Read1:
    """A journal that one gateway reads."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path / "state", role="bess", device_id=101)
        self.pages = Pages(path / "state", hidden=False)
        self.place = Place()
        self.row = self.bid = 0

    def bids(self, count: int, state: str = "standing", lot_id: int = 1) -> None:
        """So many bids in a lot."""
        for number in range(count):
            self.journal.bid(
                BidRow(LotId(lot_id), DeviceId(500), MessageId(number), Wh(1), MicroPerKwh(5), state, WallUs(1))
            )

    async def next(self) -> Page:
        """The next page, taken as sent."""
        page = await self.pages.read(Read(self.row, self.bid), self.place, ENDED)
        assert len(page.bids) + len(page.rows) <= ROWS_AT_ONCE
        self.row, self.bid = page.last_row, page.last_bid
        return page


@pytest.fixture
async def read(tmp_path: Path) -> AsyncIterator[Read1]:
    """A journal and its reader."""
    made = Read1(tmp_path)
    yield made
    await made.pages.close()
    made.journal.close()


async def test_a_lot_s_end_comes_after_all_its_bids(read: Read1) -> None:
    """1,200 bids and the end of their lot in one transaction: three pages, the row in the last one."""
    read.bids(1_200)
    await read.journal.commit([row(1, "lot")])
    pages = [await read.next() for _ in range(3)]
    assert [(len(page.bids), len(page.rows), page.more) for page in pages] == [
        (500, 0, True),
        (500, 0, True),
        (200, 1, False),
    ]


async def test_a_flood_of_bids_does_not_keep_rows_back(read: Read1) -> None:
    """A thousand more bids with each page: the row that was there first comes as soon as the bids that were there are told."""
    read.bids(1_000)
    await read.journal.commit([row(1)])
    found: list[int] = []
    for _ in range(4):
        page = await read.next()
        found.append(len(page.rows))
        assert page.more
        read.bids(1_000)
        await read.journal.commit([])
    assert found[2] == 1, found


async def test_many_rows_come_in_pages(read: Read1) -> None:
    """Each number once, in order; the last page says that there is no more."""
    await read.journal.commit([row(number) for number in range(1, 1_251)])
    pages = [await read.next() for _ in range(3)]
    assert [len(page.rows) for page in pages] == [500, 500, 250]
    assert [page.more for page in pages] == [True, True, False]
    assert [told.seq for page in pages for told in page.rows] == list(range(1, 1_251))
    assert pages[-1].last_hash.hex() == pages[-1].rows[-1].hash


async def test_a_page_of_long_rows_ends_early(read: Read1) -> None:
    """No message comes near what a gateway takes at most."""
    await read.journal.commit([row(number, "promise", "x" * 2_000) for number in range(1, 501)])
    pages = []
    while not pages or pages[-1].more:
        pages.append(await read.next())
    sizes = [len(encode(Rows(page.rows, page.last_row, page.last_hash.hex()))) for page in pages]
    assert max(sizes) < MAX_MESSAGE / 2
    assert len(pages) > 3
    assert [told.seq for page in pages for told in page.rows] == list(range(1, 501))


async def test_what_is_not_told_still_moves_the_place(read: Read1, tmp_path: Path) -> None:
    """Rows of other kinds, and bids near a hidden reserve: pages without them, whose numbers go on."""
    await read.pages.close()
    read.pages = Pages(tmp_path / "state", hidden=True)
    read.bids(600, "below_reserve")
    await read.journal.commit([row(number, "secret") for number in range(600)])
    pages = []
    while not pages or pages[-1].more:
        pages.append(await read.next())
    assert (read.row, read.bid) == (600, 600)
    assert not any(page.rows or page.bids for page in pages)
    assert len(pages) <= 4


@pytest.mark.parametrize("hidden", [True, False])
async def test_a_lot_s_reserve_stays_as_secret_as_it_was(read: Read1, tmp_path: Path, hidden: bool) -> None:
    """Bids near the reserve: of lots of an earlier life as each lot's own row says, without one never; of today's as today."""
    ended = {1: True, 2: False}
    for lot_id in (1, 2, 3):
        read.bids(1, "below_reserve", lot_id)
    read.bids(1, "standing", 1)
    rows = [row(lot_id, "lot")._replace(body={"hidden": secret}) for lot_id, secret in ended.items()]
    await read.journal.commit([*rows, row(4, "lot")._replace(body={})])
    read.bids(1, "too_many", 4)
    await read.journal.commit([])
    await read.pages.close()
    read.pages = Pages(tmp_path / "state", hidden=hidden)
    read.bids(1, "below_reserve", 5)
    await read.journal.commit([])
    told = [(bid.lot_id, bid.state) for bid in (await read.next()).bids]
    assert told == [(2, "below_reserve"), (1, "standing"), *([] if hidden else [(5, "below_reserve")])]


async def test_a_bid_of_another_copy_is_found_out(read: Read1) -> None:
    """The same row and as many bids, but not the one that was told: an older copy was restored and went on by itself."""
    read.bids(3)
    await read.journal.commit([row(1)])
    page = await read.next()
    told, last = page.bids[-1], page.rows[0]
    edit = msgspec.structs.replace
    for newest, known in (
        (told, True),
        (None, True),
        (edit(told, lot_id=0), True),  # as which it was told may depend on when
        (page.bids[0], True),
        (edit(told, message_id=told.message_id + 1), False),
        (edit(told, time_us=9), False),
        (edit(told, number=2), False),
    ):
        assert await read.pages.known(Check(1, last.hash, 3, newest)) is known, newest


async def test_a_bid_that_the_ring_has_lost_proves_nothing(read: Read1, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be compared is believed: else each gateway that was away for long would be told of a fork."""
    monkeypatch.setattr(journal_module, "BID_RING", 10)
    read.bids(1)
    await read.journal.commit([row(1)])
    told = (await read.next()).bids[0]
    for _ in range(3):
        read.bids(20)
        await read.journal.commit([])
    assert (await read.pages.read(Read(1, 0), Place(), ENDED)).bids[0].number > 1
    assert await read.pages.known(Check(0, "", 61, msgspec.structs.replace(told, bidder=9)))


async def test_what_a_gateway_resumes_after_must_be_there(read: Read1) -> None:
    """The row under its hash, and the bid; nothing at all is always there."""
    read.bids(3)
    await read.journal.commit([row(1), row(2)])
    page = await read.next()
    told = page.rows[1]
    for check, known in (
        (Check(0, "", 0), True),
        (Check(2, told.hash, 3), True),
        (Check(2, told.hash, 4), False),
        (Check(0, "", 4), False),
        (Check(2, page.rows[0].hash, 3), False),
        (Check(2, "", 0), False),
        (Check(3, told.hash, 0), False),
    ):
        assert await read.pages.known(check) is known, check


async def test_a_chunk_of_bids_is_read_once_and_from_any_place(read: Read1) -> None:
    """Two gateways at different places of one transaction's bids: each gets what comes after its own."""
    read.bids(1_000)
    await read.journal.commit([])
    first = await read.next()
    other = await read.pages.read(Read(0, 700), Place(), NO_AUCTIONS)
    assert [told.number for told in first.bids] == list(range(1, 501))
    assert [told.number for told in other.bids] == list(range(701, 1_001))
    back = await read.pages.read(Read(0, 0), read.place, ENDED)
    assert back.bids == first.bids
