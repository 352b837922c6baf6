"""A gateway that is killed (`kill -9`) again and again while the demo trades: is anything missing at the end, or there twice?

Three accounts of the same trades are held against the batteries' journals, to the µ and the Wh: the gateway's database, what a
follower of its stream added up (it resumes after each kill), and the events that are stored.
"""

import asyncio
import json
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benches.child import Child, running
from benches.plan import Plan
from benches.report import Figure, Report
from cli.demo.dashboard import Stored, journalled, stored
from etp.units import Micro, Wh
from gateway.client import Happened, Missed
from gateway.events import TradeConfirmed, TradeSettled
from gateway.io.client import GatewayClient
from gateway.io.client import Report as Heard
from gateway.place import parse_place
from gateway.settings import DATABASE_FILE
from runtime.backoff import Backoff
from runtime.io.journal_reader import JournalReader

KILLS: Final = 10
SLOTS: Final = 100
SLOT_S: Final = 0.6
DEMO_S: Final = 130.0
WAIT_S: Final = 0.02
KILLED_IN: Final = 0.6
"""Of the demo's time: what comes after it must suffice for nodes that wait up to 10 s before they dial again."""
EVENING: Final = 36
"""The half-hour from which a short demo trades."""
AT_MOST_S: Final = 6.0
RETRY: Final = Backoff(0.05, 0.5)


class Follower(threading.Thread):
    """Adds up what the stream says, over all its interruptions."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.by_battery: dict[int, Stored] = {}
        self.trades = self.gaps = 0
        self._url, self._loop = url, asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Listen until `stop`."""
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._listen())
        self._loop.close()

    async def _listen(self) -> None:
        client = GatewayClient(
            parse_place(self._url), api_key=None, on_report=self._heard, rng=random.Random(1), backoff=RETRY
        )
        self._task = asyncio.current_task()
        try:
            await client.run()
        finally:
            await client.close()

    def stop(self) -> None:
        """End the thread."""
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()

    def _heard(self, heard: Heard) -> None:
        if isinstance(heard, Missed) and heard.durable:
            self.gaps += 1
        if isinstance(heard, Happened):
            for event in heard.events:
                battery = int(event.node)
                before = self.by_battery.get(battery, Stored(0, Wh(0), Micro(0), 0))
                if isinstance(event, TradeConfirmed):
                    self.trades += 1
                    self.by_battery[battery] = before._replace(
                        trades=before.trades + 1,
                        energy=Wh(before.energy + event.energy_wh),
                        paid=Micro(before.paid + event.paid_micro),
                    )
                elif isinstance(event, TradeSettled):
                    self.by_battery[battery] = before._replace(settled=before.settled + 1)


@contextmanager
def following(url: str) -> Iterator[Follower]:
    """A follower that is ended with the block."""
    follower = Follower(url)
    follower.start()
    try:
        yield follower
    finally:
        follower.stop()


def journals(out: Path) -> dict[int, Stored]:
    """What the batteries' journals hold, by battery."""
    found = {}
    for directory in sorted(out.glob("bess-*/")):
        reader = JournalReader(directory)
        rows = [row for _, row in reader.rows()]
        reader.close()
        found[int(directory.name.removeprefix("bess-"))] = journalled(rows)
    return found


def events_stored(state: Path) -> dict[int, Stored]:
    """What the stored events of trades add up to, by battery."""
    database = sqlite3.connect(f"file:{state / DATABASE_FILE}?mode=ro", uri=True)
    found: dict[int, Stored] = {}
    for kind, text in database.execute(
        "SELECT type, event FROM events WHERE type IN ('TradeConfirmed', 'TradeSettled')"
    ):
        event = json.loads(text)
        before = found.get(int(event["node"]), Stored(0, Wh(0), Micro(0), 0))
        found[int(event["node"])] = (
            before._replace(settled=before.settled + 1)
            if kind == "TradeSettled"
            else Stored(
                before.trades + 1,
                Wh(before.energy + event["energy_wh"]),
                Micro(before.paid + event["paid_micro"]),
                before.settled,
            )
        )
    database.close()
    return found


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Whether another process has made something true before the limit."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(WAIT_S)  # another process' files: nothing here tells of their change
    return True


class Victim:
    """The gateway that is killed and started again, at one address and on one store."""

    def __init__(self, directory: Path, address: str, registry: Path) -> None:
        self.state, self._log = directory / "gateway", directory / "gateway.log"
        options = ["--listen", address, "--state-dir", str(self.state), "--registry", str(registry), "--open"]
        self._arguments = ["gateway", *options, "--log-level", "warning"]
        self.starts_s: list[float] = []
        self._start()

    def _start(self) -> None:
        began_s = time.monotonic()
        self._child = Child("cli.main", self._arguments, self._log)
        self._child.line()
        self.starts_s.append(time.monotonic() - began_s)

    def kill(self) -> None:
        """End it as a power cut would, and start it again."""
        self._child.kill()
        self._child.stop()  # its pipes
        self._start()

    def close(self) -> None:
        """End it in order."""
        self._child.stop()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all accounts say at the end, by battery."""

    journals: dict[int, Stored]
    accounts: dict[str, dict[int, Stored]]
    gaps: int
    faults: int
    starts_s: list[float]


def measure(directory: Path, *, kills: int, slots: int, first_slot: int, nodes: tuple[int, int]) -> Outcome:
    """Run the demo, kill its gateway so many times in the first part of it, and ask everybody at the end."""
    out, port = directory / "out", free_port()
    url, days = f"http://127.0.0.1:{port}", ["--first-slot", str(first_slot), "--slots", str(slots)]
    days += ["--seconds-per-slot", str(SLOT_S), "--bess", str(nodes[0]), "--aggregators", str(nodes[1])]
    told = ["demo", "--json", "--out", str(out), "--gateway", url, *days]
    with running("cli.main", told, directory / "demo.log") as demo:
        until((out / "registry.toml").exists, DEMO_S)
        with (
            following(url) as follower,
            closing(Victim(directory, f"127.0.0.1:{port}", out / "registry.toml")) as victim,
        ):
            began_s, pace_s = time.monotonic(), slots * SLOT_S * KILLED_IN / kills
            for number in range(1, kills + 1):
                time.sleep(max(0.0, began_s + number * pace_s - time.monotonic()))
                victim.kill()
            said = json.loads(demo.rest(DEMO_S).splitlines()[-1])
            own = journals(out)
            until(lambda: follower.by_battery == own, AT_MOST_S)
            accounts = {
                "database": stored(victim.state),
                "stored events": events_stored(victim.state),
                "stream": follower.by_battery,
            }
            faults = len(said["violations"]) + len(said["faults"])
            return Outcome(own, accounts, follower.gaps, faults, victim.starts_s)


def run(plan: Plan) -> Report:
    """Measure."""
    kills, slots = plan.size(KILLS, 2), plan.size(SLOTS, 16)
    with plan.scratch() as directory:
        nodes = plan.size(3, 1), plan.size(4, 2)
        found = measure(directory, kills=kills, slots=slots, first_slot=plan.size(0, EVENING), nodes=nodes)
    own = found.journals
    return Report(
        f"{kills} × kill -9 of the gateway in the first {KILLED_IN:.0%} of {slots} half-hours of {SLOT_S:g} s; {len(own)} batteries",
        [
            *(
                Figure(f"{name} unlike journals", sum(held.get(device) != sums for device, sums in own.items()), most=0)
                for name, held in found.accounts.items()
            ),
            Figure("durable events missed by the stream", found.gaps, most=0),
            Figure("violations of the demo", found.faults, most=0),
            Figure("trades", sum(sums.trades for sums in own.values()), least=1),
            Figure("energy", sum(sums.energy for sums in own.values()), "Wh"),
            Figure("paid", sum(sums.paid for sums in own.values()), "µ"),
            Figure("serves again after, worst", round(max(found.starts_s) * 1000), "ms"),
        ],
    )
