"""What is asked of the chain again and again beside the settler: escrows, standings, and the comparison with the journal."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from contracts.accounts import Market, read
from contracts.errors import ContractsError
from contracts.exposure import Exposure
from contracts.instructions import Instructions
from contracts.io.rpc import Rpc
from contracts.reconcile import PERIOD_S, Books, Difference, agreed, compare, request, trades_in
from contracts.reputation import Standings
from contracts.rpc import Accounts, Answer, GetAccounts, GetGenesis, Request, RpcFailure, TradeAccounts
from etp.clock import Now
from runtime.io.journal import JournalError
from runtime.io.journal_reader import JournalReader

ESCROW_S: Final = 2.0
"""Between two looks at escrows and standings, s."""


class ChainError(ContractsError):
    """The RPCs do not agree on which chain they are of, or none of them answers."""


async def ask_all(rpcs: Sequence[Rpc], request: Request) -> list[Answer]:
    """The answers of those RPCs that gave one."""
    answers = await asyncio.gather(*(rpc.ask(request) for rpc in rpcs))
    return [answer for answer in answers if not isinstance(answer, RpcFailure)]


async def genesis_of(rpcs: Sequence[Rpc]) -> bytes:
    """The genesis hash that all RPCs that answer name. Raises ChainError."""
    found = {rpc.name: await rpc.ask(GetGenesis()) for rpc in rpcs}
    hashes = {answer for answer in found.values() if isinstance(answer, bytes)}
    if len(hashes) == 1:
        return hashes.pop()
    if hashes:
        raise ChainError(f"the RPCs {', '.join(found)} are of different chains; give RPCs of one chain only")
    said = "; ".join(f"{name} {answer.words}" for name, answer in found.items() if isinstance(answer, RpcFailure))
    raise ChainError(f"no RPC tells its genesis hash: {said}")


async def _wait(ended: asyncio.Event, seconds: float) -> bool:
    """Whether it ended before the time was over."""
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    return True


async def _accounts(rpcs: Sequence[Rpc], request: GetAccounts) -> list[Accounts]:
    return [answer for answer in await ask_all(rpcs, request) if isinstance(answer, Accounts)]


class OfOneChain:
    """RPCs that have shown that they are of the chain with this genesis hash: others say nothing that counts."""

    def __init__(self, rpcs: Sequence[Rpc], genesis_hash: bytes) -> None:
        self._rpcs, self._genesis_hash = rpcs, genesis_hash
        self._fit: set[Rpc] = set()
        self._told: set[Rpc] = set()
        self._log = structlog.get_logger()

    async def accounts(self, request: GetAccounts) -> list[Accounts]:
        """What those that answer show."""
        await asyncio.gather(*(self._check(rpc) for rpc in self._rpcs if rpc not in self._fit))
        return await _accounts([rpc for rpc in self._rpcs if rpc in self._fit], request)

    async def _check(self, rpc: Rpc) -> None:
        genesis = await rpc.ask(GetGenesis())
        if genesis == self._genesis_hash:
            self._fit.add(rpc)
        elif isinstance(genesis, bytes) and rpc not in self._told:  # it is asked every 2 s
            self._told.add(rpc)
            self._log.error(
                "rpc_of_another_chain", rpc=rpc.name, right="an RPC of the chain of the registry's [market]"
            )


async def watch_exposure(
    exposure: Exposure,
    rpcs: OfOneChain,
    clock: Callable[[], Now],
    ended: asyncio.Event,
    *,
    told: Callable[[], None],
    period_s: float = ESCROW_S,
) -> None:
    """Keep a buyer's escrow and debts up to date until `ended`; `told` after each look."""
    while True:
        for question, owed in exposure.requests(clock()):
            exposure.take(owed, await rpcs.accounts(question))
        told()
        if await _wait(ended, period_s):
            return


async def watch_standings(
    standings: Standings,
    rpcs: OfOneChain,
    clock: Callable[[], Now],
    ended: asyncio.Event,
    *,
    period_s: float = ESCROW_S,
) -> None:
    """Keep a battery's word on its buyers up to date until `ended`."""
    while True:
        for question, buyers in standings.requests():
            standings.take(buyers, await rpcs.accounts(question), clock())
        if await _wait(ended, period_s):
            return


class Reconciler:
    """Compares a battery's journal with the chain."""

    def __init__(self, instructions: Instructions, battery_id: int, rpcs: Sequence[Rpc], state_dir: Path) -> None:
        self._interface, self._place = instructions.interface, instructions.place
        self._battery_id, self._rpcs, self._state_dir = battery_id, rpcs, state_dir
        self._books = Books()

    def _read(self) -> None:
        """Rows since the last time; a connection of its own, since the journal's belongs to the loop's thread."""
        reader = JournalReader(self._state_dir)
        try:
            self._books.take(reader.rows(after=self._books.last_seq))
        finally:
            reader.close()

    async def market(self) -> Market:
        """The market's rules. Raises ChainError, AccountError, InterfaceError."""
        for answer in await _accounts(self._rpcs, GetAccounts((self._place.market,))):
            if answer.found[0] is not None:
                return read(self._interface, self._place.program_id, Market, answer.found[0])
        raise ChainError(
            f"no RPC shows the market {self._place.market}: are they up, and of the right chain? is the market open?"
        )

    async def compare(self, clock: Callable[[], Now]) -> tuple[Difference, ...]:
        """The differences now. Raises ContractsError where they cannot be known, JournalError where the journal cannot be read."""
        market = await self.market()
        asked_us = clock().wall_us
        question = request(self._interface, self._place.program_id, self._place.market, self._battery_id)
        shown = [answer for answer in await ask_all(self._rpcs, question) if isinstance(answer, TradeAccounts)]
        if not shown:
            raise ChainError(
                "no RPC shows the battery's trades: some public nodes refuse getProgramAccounts; give another one"
            )
        await asyncio.to_thread(self._read)
        self._books.forget(market, asked_us)
        found = [
            compare(
                self._books, trades_in(self._interface, answer), market, battery_id=self._battery_id, asked_us=asked_us
            )
            for answer in shown
        ]
        return agreed(found)

    async def run(
        self,
        told: Callable[[tuple[Difference, ...]], None],
        failed: Callable[[Exception], None],
        clock: Callable[[], Now],
        ended: asyncio.Event,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        """Compare at once and then every `period_s` until `ended`; `failed` is told why a comparison was not possible."""
        while True:
            try:
                told(await self.compare(clock))
            except (ContractsError, JournalError) as error:
                failed(error)
            if await _wait(ended, period_s):
                return
