"""The buyer's escrow in its daemon: what it can pay, read at every RPC as long as the daemon runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from contracts.addresses import Place
from contracts.exposure import Exposure
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.io.watch import OfOneChain, watch_exposure
from etp.clock import Now
from etp.io.clock import system_now
from etp.registry import Network
from etp.units import DeviceId, Micro

SETTLE_WINDOW_S: Final = 30 * 86_400
"""The longest that the program lets a market have: what was not settled by then is owed no more, s."""


def exposure_of(network: Network, device_id: DeviceId) -> Exposure:
    """Nothing is known yet, so there is no room yet. Raises InterfaceError."""
    return Exposure(load_interface(), Place.of(network), device_id, settle_window_s=SETTLE_WINDOW_S)


class EscrowWatch:
    """See the module. `changed` is told after each look."""

    def __init__(
        self, exposure: Exposure, urls: Sequence[str], network: Network, changed: Callable[[Now], None]
    ) -> None:
        """Raises SettingsError for what is no URL."""
        self._exposure, self._network, self._changed = exposure, network, changed
        self._rpcs = [Rpc(url) for url in urls]
        self._log = structlog.get_logger()
        self._said: str | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Look until `stopping`."""
        fit = OfOneChain(self._rpcs, self._network.genesis_hash)
        await watch_exposure(self._exposure, fit, system_now, stopping, told=self._told)
        for rpc in self._rpcs:
            await rpc.close()

    def _told(self) -> None:
        trouble = self._exposure.trouble
        if trouble != self._said:
            self._said = trouble
            if trouble is None:
                self._log.info("escrow_read", room_micro=self._exposure.room(Micro(0)))
            else:
                self._log.warning("no_bids_without_escrow", reason=trouble)
        self._changed(system_now())
