"""Payment in the battery's daemon: the settler of its market, its RPCs, and what the journal has pending for it."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from bess_node.settings import BessSettings
from bess_node.settlement import Settlement
from contracts import outbox
from contracts.addresses import Address, Place
from contracts.instructions import Instructions
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.io.settler import SettlerShell
from contracts.io.watch import OfOneChain, Reconciler, watch_standings
from contracts.reconcile import Difference
from contracts.reputation import Requirements, Standings
from contracts.settler import Settler
from contracts.settler_limits import SettlerLimits
from contracts.transactions import Signer
from etp.clock import Now
from etp.effects import Row
from etp.io.clock import system_now
from etp.signed import Signed
from etp.units import MICRO_PER_CENT, Micro
from runtime.histogram import Metrics
from runtime.io.journal import Journal


class Payment:
    """The settler of one daemon, from its start to its end. Without an RPC trades wait in the outbox for one."""

    def __init__(
        self, settings: BessSettings, profile: Signed, journal: Journal, metrics: Metrics, rng: random.Random
    ) -> None:
        """Raises InterfaceError, SettingsError for what cannot be used."""
        identity = profile.identity
        instructions = Instructions(load_interface(), Place.of(profile.registry.network))
        signer = Signer(
            instructions, Address(identity.key.public), identity.device_id, identity.key.sign, settings.unit_price
        )
        limits = SettlerLimits(unsettled_micro=Micro(round(settings.unsettled * MICRO_PER_CENT)))
        self._rpcs = [Rpc(url) for url in settings.rpc]
        self.settler = Settler(signer, rpcs=len(self._rpcs), rng=rng, limits=limits)
        self._standings = Standings(instructions.interface, instructions.place)
        self._requirements = Requirements(Micro(round(settings.min_escrow * MICRO_PER_CENT)), settings.min_reputation)
        self.settlement = Settlement(profile.key_of, self.settler, self._standings, self._requirements)
        self._stopping = asyncio.Event()
        self._fit = OfOneChain(self._rpcs, instructions.place.genesis_hash)
        self._reconciler = Reconciler(instructions, identity.device_id, self._rpcs, journal.directory)
        self._shell = SettlerShell(
            self.settler,
            self._rpcs,
            commit=journal.commit,
            write=journal.write,
            metrics=metrics,
            clock=system_now,
        )
        self._shell.restore(outbox.entry_of(row) for row in journal.pending_rows() if row.kind == outbox.KIND)

    def settle(self, row: Row) -> None:
        """A trade whose outbox row is durable."""
        self._shell.add(outbox.entry_of(row))

    async def run(self) -> None:
        """Settle until `stop`."""
        if not self._rpcs:
            structlog.get_logger().warning("no_rpc", consequence="trades are kept, and paid once there is an --rpc URL")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._shell.run())
            if self._rpcs:
                comparing = self._reconciler.run(self._compared, self._not_compared, system_now, self._stopping)
                tasks.create_task(comparing)
            if self._requirements.ask_anything:
                tasks.create_task(watch_standings(self._standings, self._fit, system_now, self._stopping))
        for rpc in self._rpcs:
            await rpc.close()

    def _compared(self, found: Sequence[Difference]) -> None:
        self._shell.apply(self.settler.reconciled(found))

    def _not_compared(self, error: Exception) -> None:
        structlog.get_logger().warning("not_reconciled", reason=str(error))

    def stop(self) -> None:
        """No more questions to RPCs; what is signed is in the journal."""
        self._stopping.set()
        self._shell.stop()

    def view(self, now: Now) -> dict[str, object]:
        """The gauges for metrics.json."""
        return dict(self.settler.view(now))
