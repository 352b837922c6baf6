"""Looks at the buyer's escrow and at what it paid, at every RPC, as long as the daemon runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from contracts.addresses import Address, Place
from contracts.exposure import Exposure
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.rpc import Accounts, GetGenesis, Request
from etp.clock import Now
from etp.io.clock import system_now
from etp.registry import Network
from etp.units import DeviceId, Micro

LOOK_S: Final = 1.0
"""How often the escrow is read, s: so long a payment still counts as owed."""
SETTLE_WINDOW_S: Final = 30 * 86_400
"""The longest that the program lets a market have: what was not settled by then is owed no more, s."""


def exposure_of(network: Network, device_id: DeviceId) -> Exposure:
    """Nothing is known yet, so there is no room yet. Raises InterfaceError."""
    place = Place(network.genesis_hash, Address(network.program_id), network.network_id)
    return Exposure(load_interface(), place, device_id, settle_window_s=SETTLE_WINDOW_S)


class EscrowWatch:
    """See the module. `changed` is told after each look."""

    def __init__(
        self, exposure: Exposure, urls: Sequence[str], network: Network, changed: Callable[[Now], None]
    ) -> None:
        """Raises SettingsError for what is no URL."""
        self._exposure, self._network, self._changed = exposure, network, changed
        self._rpcs = [Rpc(url) for url in urls]
        self._fit: set[Rpc] = set()
        self._log = structlog.get_logger()
        self._said: str | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Look until `stopping`."""
        while not stopping.is_set():
            for request, owed in self._exposure.requests(system_now()):
                self._exposure.take(owed, await self._ask_all(request))
            self._say()
            self._changed(system_now())
            try:
                await asyncio.wait_for(stopping.wait(), LOOK_S)
            except TimeoutError:
                continue
        for rpc in self._rpcs:
            await rpc.close()

    async def _ask_all(self, request: Request) -> list[Accounts]:
        answers = await asyncio.gather(*(self._ask(rpc, request) for rpc in self._rpcs))
        return [answer for answer in answers if answer is not None]

    async def _ask(self, rpc: Rpc, request: Request) -> Accounts | None:
        """What an RPC of this market's chain says; None where it says nothing, or is of another chain."""
        if rpc not in self._fit:
            genesis = await rpc.ask(GetGenesis())
            if genesis != self._network.genesis_hash:
                if isinstance(genesis, bytes):
                    self._log.error("rpc_of_another_chain", rpc=rpc.name, right="the RPC of the registry's [market]")
                return None
            self._fit.add(rpc)
        answer = await rpc.ask(request)
        return answer if isinstance(answer, Accounts) else None

    def _say(self) -> None:
        trouble = self._exposure.trouble
        if trouble != self._said:
            self._said = trouble
            if trouble is None:
                self._log.info("escrow_read", micro=self._exposure.room(Micro(0)))
            else:
                self._log.warning("no_bids_without_escrow", reason=trouble)
