"""The process of the settlement bench that holds the battery: a real journal and settler against a local chain's RPC.

Reads a job from the command line, opens a market on the chain, says on stdout that it is ready, then settles as told on
stdin (a line of JSON a phase) and answers each phase with what it measured.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from solana.rpc.commitment import Finalized
from solders.pubkey import Pubkey
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import ParticipantRole
from contracts.addresses import PROGRAM_ID, Place, token_account
from contracts.instructions import Instructions, Terms
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.io.settler import SettlerShell
from contracts.io.wallet import Wallet
from contracts.outbox import Entry, OutboxState, confirmed, row
from contracts.settler import Settler
from contracts.transactions import Signer
from etp.codes import MessageType
from etp.effects import Row
from etp.frame import Frame, encode
from etp.io.clock import system_now
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, MessageId
from runtime.histogram import Metrics
from runtime.io.journal import Journal
from runtime.io.logging import set_up

NAME: Final = "bench"
BATTERY, BUYER = DeviceId(101), DeviceId(500)
DAY_S: Final = 86_400
SOL: Final = 10**9
ESCROW_MICRO: Final = 10**12
PRICE: Final = 200_000
"""µ/kWh."""
ENERGY: Final = 100
"""Wh: 20,000 µ a trade."""
WAIT_S: Final = 60.0
"""What is not settled so long after the last Confirm counts as lost."""


class Bench:
    """A market of one battery and one buyer, the settler of the battery, and what it took."""

    def __init__(self, url: str, directory: Path) -> None:
        self.rpc, self._directory = Rpc(url), directory
        self._admin, self._battery, self._buyer = (KeyPair(random.randbytes(32)) for _ in range(3))
        self._numbers = itertools.count(1)
        self._settled: dict[int, float] = {}
        self._confirmed: dict[int, float] = {}
        self._expected = 0
        self._places = asyncio.Semaphore(0)
        self._done = asyncio.Event()

    async def open(self, mint: str) -> None:
        """Chain, market, escrow, journal, settler."""
        interface = load_interface()
        wallet = Wallet(self.rpc, interface)
        self.place = Place.named(await wallet.genesis(), PROGRAM_ID, Pubkey(self._admin.public), NAME)
        self._make = Instructions(interface, self.place)
        await self._found(wallet, Pubkey.from_string(mint))
        self._journal = Journal.open(self._directory / "bess", role="bess", device_id=BATTERY)
        signer = Signer(self._make, Pubkey(self._battery.public), BATTERY, self._battery.sign)
        self.settler = Settler(signer, rpcs=1, rng=random.Random(1))
        self.shell = SettlerShell(
            self.settler,
            [self.rpc],
            commit=self._journal.commit,
            write=self._write,
            metrics=Metrics(),
            clock=system_now,
        )

    async def _found(self, wallet: Wallet, mint: Pubkey) -> None:
        make, admin, owner = self._make, Pubkey(self._admin.public), Pubkey(self._buyer.public)
        for key, lamports in ((admin, 100 * SOL), (Pubkey(self._battery.public), 10_000 * SOL), (owner, SOL)):
            given = await self.rpc.client.request_airdrop(key, lamports)
            await self.rpc.client.confirm_transaction(given.value, Finalized, sleep_seconds=0.02)
        await self._faucet(owner)
        terms = Terms(admin, 10, 1, 0, DAY_S, 2 * DAY_S)
        fees = token_account(admin, mint)
        first = [
            create_idempotent_associated_token_account(admin, admin, mint),
            make.open_market(admin, NAME, mint, fees, terms),
        ]
        signers = [(Pubkey(pair.public), pair.sign) for pair in (self._admin, self._battery, self._buyer)]
        await wallet.submit(first, signers)
        members = (
            (self._battery, BATTERY, ParticipantRole.BATTERY),
            (self._buyer, BUYER, ParticipantRole.AGGREGATOR),
        )
        await wallet.submit(
            [make.register(admin, Pubkey(pair.public), device, role) for pair, device, role in members], signers
        )
        put = make.deposit(owner, BUYER, mint, token_account(owner, mint), ESCROW_MICRO)
        await wallet.submit([make.create_vault(admin, BUYER, mint), put], signers)

    async def _faucet(self, owner: Pubkey) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "etp_faucet", "params": [str(owner), ESCROW_MICRO]}
        answer = await self.rpc.client._provider.session.post(self.rpc.name, json=body)  # noqa: SLF001 - not Solana's
        assert "result" in answer.json(), answer.text

    def _write(self, rows: tuple[Row, ...]) -> None:
        """What the settler says of a trade: it is settled once the finalized account was read back."""
        self._journal.write(rows)
        for each in rows:
            if each.state == OutboxState.SETTLED.value:
                self._settled[each.lot_id] = time.monotonic()
                self._places.release()
        if len(self._settled) >= self._expected:
            self._done.set()

    # -- trades

    def _trade(self) -> Entry:
        time_us = MessageId(time.time_ns() // 1000)
        price = PRICE / 10_000
        frame = Frame(
            MessageType.CONFIRM,
            message_id=time_us,
            device_id=BUYER,
            sale_price=price,
            bid_price=price,
            required_energy_amount=ENERGY / 1000,
        )
        lot_id = next(self._numbers)
        record = seal(
            frame,
            encode(frame),
            counter=lot_id,
            lot_id=lot_id,
            recipient=self._battery.public,
            network=self.place.network_id,
            sign=self._buyer.sign,
        )
        return confirmed(record, self._buyer.public, system_now().wall_us)

    async def _confirm(self, entry: Entry) -> None:
        """As the daemon does it: the row durable, then the settler. The clock starts with the durable row."""
        await self._journal.commit([row(entry)])
        self._confirmed[entry.lot_id] = time.monotonic()
        self.shell.add(entry)

    async def phase(self, *, trades: int, rate: float, most_waiting: int) -> dict[str, Any]:
        """`trades` at `rate` a second, open loop, at most `most_waiting` on their way; when each was settled."""
        self._confirmed, self._settled = {}, {}
        self._places = asyncio.Semaphore(most_waiting)
        before_s = cpu_s()
        began_s = time.monotonic()
        self._expected = trades
        self._done.clear()
        async with asyncio.TaskGroup() as tasks:
            for number in range(trades):
                due_s = began_s + number / rate
                await self._places.acquire()
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                tasks.create_task(self._confirm(self._trade()))
        last_s = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._done.wait()
        ended_s = max(self._settled.values(), default=last_s)
        waits_ms = [1000 * (at - self._confirmed[lot]) for lot, at in self._settled.items()]
        return {
            "seconds": ended_s - began_s,
            "settled": len(self._settled),
            "waits_ms": sorted(waits_ms),
            "cpu_s": cpu_s() - before_s,
            "fsync": self._journal.fsync_ms.as_dict(),
        }

    async def close(self) -> None:
        """Let go of everything."""
        self._journal.close()
        await self.rpc.close()


def cpu_s() -> float:
    """Processor time of this process so far, s."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def lines() -> Iterator[dict[str, Any]]:
    """Phases, as told on stdin."""
    for line in sys.stdin:
        yield json.loads(line)


def say(value: object) -> None:
    """A line to the bench."""
    print(json.dumps(value), flush=True)  # noqa: T201 - the pipe to the bench


async def serve(url: str, mint: str, directory: Path) -> None:
    """Phases until stdin ends."""
    bench = Bench(url, directory)
    await bench.open(mint)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.shell.run())
        say({"ready": True})
        told = lines()
        while (phase := await asyncio.to_thread(next, told, None)) is not None:
            say(await bench.phase(**phase))
        bench.shell.stop()
        await running
    await bench.close()


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("mint")
    parser.add_argument("directory", type=Path)
    asked = parser.parse_args()
    set_up("warning")
    asyncio.run(serve(asked.url, asked.mint, asked.directory))


if __name__ == "__main__":
    main()
