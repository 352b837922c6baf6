"""Reads a journal for feeds, beside its writer and in a thread of its own: pages of what may be told, each from a number on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from etp.effects import BidRow
from runtime.feed import publish
from runtime.feed.publish import Lots
from runtime.feed.session import Check, Page, Read
from runtime.feed.wire import ROWS_AT_ONCE, FeedBid, FeedRow
from runtime.io.journal_reader import JournalReader

HEAVY_PAGE: Final = 400_000
"""Characters of the rows of one page; beyond it a page ends early. As JSON that is far below `wire.MAX_MESSAGE`."""
ROW_CHARACTERS: Final = 300
"""Of a row's hash, keys and numbers."""
T = TypeVar("T")


class _Bids(NamedTuple):
    """Bids that may be told."""

    told: list[FeedBid]
    last: int
    """The number of the last one that was looked at."""
    looked_at: int
    held: bool
    """The next one is secret as long as a lot is open, and so waits with all after it."""


class _Rows(NamedTuple):
    """Rows that may be told."""

    told: list[FeedRow]
    last: int
    last_hash: bytes
    more: bool
    """The page was full."""


class Place:
    """Where the reading for one gateway is."""

    def __init__(self) -> None:
        self.goal_row = self.goal_bid = 0
        """What was newest at one instant: all of it is told before anything newer."""
        self._chunk: list[tuple[int, BidRow]] = []

    def bids_after(self, reader: JournalReader, number: int) -> list[tuple[int, BidRow]]:
        """The bids after a number, as many as were written at once: read once, told in as many pages as it takes."""
        if not self._chunk or not self._chunk[0][0] - 1 <= number < self._chunk[-1][0]:
            self._chunk = reader.bids_after(number)
            return self._chunk
        return self._chunk[number - self._chunk[0][0] + 1 :]


class Pages:
    """The pages of one journal for one gateway after the other; all is read in one thread, so that no loop waits for a disk."""

    def __init__(self, directory: Path, *, hidden: bool) -> None:
        """`hidden`: this node's owner does not tell its reserve. To be made before the node takes bids. Raises JournalError."""
        self._directory, self._hidden = directory, hidden
        self._earlier = _newest_bid(directory)
        """Up to this number bids are of earlier lives of the node, whose owner may have chosen otherwise."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._reader: JournalReader | None = None

    async def known(self, check: Check) -> bool:
        """Whether the journal has the row and the bid that a gateway resumes after. Raises JournalError."""
        return await self._run(lambda: self._known(check))

    async def read(self, ask: Read, place: Place, lots: Lots) -> Page:
        """The next page. Raises JournalError."""
        return await self._run(lambda: self._page(ask, place, lots))

    async def close(self) -> None:
        """Let go of the journal."""
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    # -- in the thread

    def _open(self) -> JournalReader:
        if self._reader is None:
            self._reader = JournalReader(self._directory)
        return self._reader

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _known(self, check: Check) -> bool:
        reader = self._open()
        with reader.at_one_instant():
            _, newest_bid = reader.newest()
            found = reader.hash_of(check.row) if check.row else None
            bids = reader.bids_after(check.newest.number - 1)[:1] if check.newest else []
        same_row = check.row == 0 or (found is not None and found.hex() == check.row_hash)
        return same_row and check.bid <= newest_bid and all(_may_be(check.newest, *pair) for pair in bids)

    def _page(self, ask: Read, place: Place, lots: Lots) -> Page:
        """Bids up to the goal, then rows up to it: both were there at one instant, so that a lot's bids come before its end."""
        reader = self._open()
        with reader.at_one_instant():
            newest_row, newest_bid = reader.newest()
            if ask.after_row >= place.goal_row:
                # Not with each page: under a flood of bids the rows would wait for ever.
                place.goal_row, place.goal_bid = newest_row, newest_bid
            bids = self._bids(reader, ask.after_bid, place, lots)
            rows = _Rows([], ask.after_row, b"", more=False)
            if bids.held or bids.last >= place.goal_bid:
                rows = self._rows(reader, ask.after_row, place.goal_row, ROWS_AT_ONCE - bids.looked_at, lots)
        more_rows = rows.more or place.goal_row <= rows.last < newest_row
        more_bids = bids.last < newest_bid and not bids.held
        return Page(bids.told, bids.last, rows.told, rows.last, rows.last_hash, more_rows or more_bids)

    def _bids(self, reader: JournalReader, after: int, place: Place, lots: Lots) -> _Bids:
        told: list[FeedBid] = []
        last, looked_at = after, 0
        while last < place.goal_bid and looked_at < ROWS_AT_ONCE:
            chunk = place.bids_after(reader, last)
            if not chunk:
                break
            for number, bid in chunk[: ROWS_AT_ONCE - looked_at]:
                if lots.is_secret(bid):
                    return _Bids(told, last, looked_at, held=True)
                last, looked_at = number, looked_at + 1
                found = publish.bid(number, bid, lots, hidden=self._hides(reader, number, bid))
                if found is not None:
                    told.append(found)
        return _Bids(told, last, looked_at, held=False)

    def _hides(self, reader: JournalReader, number: int, bid: BidRow) -> bool:
        """Whether the reserve of a bid's lot is secret: as its own row says, where an earlier life of the node offered it.

        A lot of an earlier life that has no row ended with that life, and nothing says what it was.
        """
        if number > self._earlier or bid.state not in publish.NEAR_THE_RESERVE:
            return self._hidden
        ended = reader.find(publish.OF_A_LOT, str(bid.lot_id))
        return ended is None or bool(ended.body.get("hidden", True))

    @staticmethod
    def _rows(reader: JournalReader, after: int, until: int, most: int, lots: Lots) -> _Rows:
        """The end of a lot that `lots` does not know to have ended waits with what is after it: its bids are not told yet."""
        told: list[FeedRow] = []
        last, last_hash, looked_at, weight = after, b"", 0, 0
        for seq, stored, found in reader.hashed_rows(after, until=until):
            if found.kind == publish.OF_A_LOT and lots.is_open(found.lot_id):
                return _Rows(told, last, last_hash, more=False)
            if looked_at >= most or weight > HEAVY_PAGE:
                return _Rows(told, last, last_hash, more=True)
            last, last_hash, looked_at = seq, stored, looked_at + 1
            row = publish.row(seq, stored, found)
            if row is not None:
                told.append(row)
                weight += ROW_CHARACTERS + sum(len(value) for value in row.body.values() if isinstance(value, str))
        return _Rows(told, last, last_hash, more=False)


def _newest_bid(directory: Path) -> int:
    reader = JournalReader(directory)
    try:
        return reader.newest()[1]
    finally:
        reader.close()


def _may_be(told: FeedBid | None, number: int, bid: BidRow) -> bool:
    """Whether a bid is the one that was told under its number; the ring may have lost that one. Its lot may have been told as none."""
    return told is None or number != told.number or FeedBid(number, told.lot_id, *bid[1:]) == told
