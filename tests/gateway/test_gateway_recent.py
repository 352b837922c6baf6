"""Answers that are given again: how old they get, who waits, what a failure leaves behind."""

import asyncio

import pytest

from gateway.io.recent import MOST, Recent


class Made:
    """Counts what is made; each waits until it is let go."""

    def __init__(self) -> None:
        self.now, self.count, self.fails = 0.0, 0, False
        self.gate = asyncio.Event()
        self.gate.set()
        self.recent = Recent(lambda: self.now)

    async def make(self) -> bytes:
        """The next number, or a failure."""
        self.count += 1
        number = self.count
        await self.gate.wait()
        if self.fails:
            raise ValueError(number)
        return b"%d" % number

    async def get(self, latest_s: float = 1.0) -> bytes:
        """What is given for the one key."""
        return await self.recent.get("key", self.make, latest_s=latest_s)


async def test_one_is_made_for_all_who_wait() -> None:
    """And for those who come within a second."""
    made = Made()
    assert await asyncio.gather(*(made.get() for _ in range(9))) == [b"1"] * 9
    made.now = 0.9
    assert await made.get() == b"1"
    made.now = 1.0
    assert await made.get() == b"2"


async def test_an_old_one_is_given_while_the_next_is_made() -> None:
    """Nobody waits; once it is there it is given; beyond the limit everybody waits for it."""
    made = Made()
    assert await made.get(5.0) == b"1"
    made.now = 2.4
    assert await made.get(5.0) == b"1"
    await asyncio.sleep(0)
    assert made.count == 1
    made.now = 2.5
    made.gate.clear()
    assert [await made.get(5.0) for _ in range(3)] == [b"1"] * 3
    await asyncio.sleep(0)
    assert made.count == 2
    made.now = 5.0
    late = asyncio.create_task(made.get(5.0))
    await asyncio.sleep(0)
    assert not late.done()
    made.gate.set()
    assert await late == b"2"
    assert made.count == 2


async def test_a_failure_is_not_kept() -> None:
    """All who waited hear of it; the next tries again; a failed refresh leaves the old one."""
    made = Made()
    made.fails = True
    results = await asyncio.gather(*(made.get() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, ValueError) for each in results)
    made.fails = False
    assert await made.get() == b"2"
    made.now, made.fails = 2.5, True
    assert await made.get(5.0) == b"2"
    for _ in range(3):
        await asyncio.sleep(0)
    assert await made.get(5.0) == b"2"


async def test_who_goes_away_takes_nothing_along() -> None:
    """A cancelled request does not cancel the answer of the others."""
    made = Made()
    made.gate.clear()
    first, second = asyncio.create_task(made.get()), asyncio.create_task(made.get())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    made.gate.set()
    assert await second == b"1"


async def test_a_bounded_number_is_kept() -> None:
    """The oldest is forgotten."""
    made = Made()
    for number in range(MOST + 5):
        await made.recent.get(number, made.make)
    count = made.count
    await made.recent.get(MOST + 4, made.make)
    assert made.count == count
    await made.recent.get(0, made.make)
    assert made.count == count + 1
