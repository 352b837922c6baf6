"""Passwords: argon2id, off the event loop, a bounded number at a time."""

import asyncio
from typing import Final

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from gateway.limits import Limits
from gateway.problem import ProblemError

MEMORY_KIB: Final = 32 * 1024
"""Above OWASP's least for two passes (19 MiB), and little beside the gateway's bound of 300 MiB, twice at a time."""
PASSES: Final = 3
HASHER: Final = PasswordHash((Argon2Hasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1),))
NOBODY: Final = "no password of anybody's"


def hashed(password: str) -> str:
    """A password as it is stored."""
    return HASHER.hash(password)


class Passwords:
    """Hashes and compares. An unknown user costs as much time as a wrong password."""

    def __init__(self, limits: Limits) -> None:
        self._turn = asyncio.Semaphore(limits.hashes_at_once)
        self._most, self._waiting = limits.hashes_waiting, 0
        self._nobody = ""

    async def prepare(self) -> None:
        """Make the hash that unknown users are compared with."""
        self._nobody = await asyncio.to_thread(hashed, NOBODY)

    async def hash(self, password: str) -> str:
        """A password as it is stored. Raises ProblemError where too many wait."""
        async with self._place():
            return await asyncio.to_thread(hashed, password)

    async def matches(self, password: str, known: str | None) -> bool:
        """Whether it is the one. None: there is none, which takes as long to say. Raises ProblemError."""
        async with self._place():
            same = await asyncio.to_thread(HASHER.verify, password, known or self._nobody)
        return same and known is not None

    def _place(self) -> "_Place":
        if self._waiting >= self._most:
            raise ProblemError(503, f"{self._most} logins wait already: try again in a few seconds", retry_after_s=5)
        return _Place(self, self._turn)

    def _count(self, more: int) -> None:
        self._waiting += more


class _Place:
    """A turn that is waited for and counted."""

    def __init__(self, passwords: Passwords, turn: asyncio.Semaphore) -> None:
        self._passwords, self._turn = passwords, turn

    async def __aenter__(self) -> None:
        self._passwords._count(1)  # noqa: SLF001 - its other half
        try:
            await self._turn.acquire()
        except BaseException:
            self._passwords._count(-1)  # noqa: SLF001
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turn.release()
        self._passwords._count(-1)  # noqa: SLF001
