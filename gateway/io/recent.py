"""Answers that many ask for at once: made once, and given again for a moment. Whoever comes meanwhile waits for the same one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from fastapi import Request

FRESH_S: Final = 1.0
"""An answer is given again for so long, s: a thousand dashboards that look every few seconds cost what one does."""
LATEST_S: Final = 5.0
"""What adds up much is given for so long, s, while the next one is made: only the first to ask for it waits."""
MOST: Final = 64
"""Answers kept, about 200 kB each at most; the oldest is forgotten first."""


@dataclass(slots=True)
class _Kept:
    made_s: float
    """When it was asked for: no answer is older than it says."""
    answer: "asyncio.Future[bytes]"
    following: "asyncio.Future[bytes] | None" = None
    """The next one, while it is made."""


class Recent:
    """See the module."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Hashable, _Kept] = {}
        self._turn = asyncio.Semaphore(1)
        """What nobody waits for is made one after the other: together they would hold up what somebody waits for."""

    async def get(self, key: Hashable, make: Callable[[], Awaitable[bytes]], *, latest_s: float = FRESH_S) -> bytes:
        """The answer, at most `latest_s` old; at half of that the next is made, unless it is `FRESH_S`. Raises what `make` raises."""
        kept = self._kept.get(key)
        age_s = self._clock() - kept.made_s if kept is not None else 0.0
        if kept is None or age_s >= latest_s:
            kept = self._begin(key, kept, make)
        elif age_s >= max(FRESH_S, latest_s / 2) and kept.following is None and kept.answer.done():
            kept.following = self._make(key, lambda: self._in_turn(make))
        return await asyncio.shield(kept.answer)

    def _begin(self, key: Hashable, before: _Kept | None, make: Callable[[], Awaitable[bytes]]) -> _Kept:
        self._kept.pop(key, None)
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        answer = before.following if before is not None and before.following is not None else self._make(key, make)
        kept = self._kept[key] = _Kept(self._clock(), answer)
        return kept

    def _make(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> "asyncio.Future[bytes]":
        """A task of its own: a client that goes away does not take the answer from those who wait with it."""
        asked_s, made = self._clock(), asyncio.ensure_future(make())
        made.add_done_callback(lambda done: self._done(key, asked_s, done))
        return made

    async def _in_turn(self, make: Callable[[], Awaitable[bytes]]) -> bytes:
        async with self._turn:
            return await make()

    def _done(self, key: Hashable, asked_s: float, done: "asyncio.Future[bytes]") -> None:
        """The next answer takes the place of the one before; what failed is made again by whoever asks next."""
        failed = done.cancelled() or done.exception() is not None
        kept = self._kept.get(key)
        if kept is None:
            return
        if kept.answer is done:
            kept.made_s = asked_s
            if failed:
                del self._kept[key]
        elif kept.following is done:
            kept.following = None
            if not failed:
                kept.answer, kept.made_s = done, asked_s


def recent(request: Request) -> Recent:
    """Of the gateway that serves this request."""
    state = request.app.state
    if not hasattr(state, "recent"):
        state.recent = Recent()
    found: Recent = state.recent
    return found
