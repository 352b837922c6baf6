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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benches.child import Child, running
from benches.plan import Plan
from benches.report import Figure, Report
from cli.demo.dashboard import Stored, stored
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
DEMO_S: Final = 140.0
WAIT_S: Final = 0.02
BETWEEN_S: Final = 1.0
"""A gateway lives at least so long after it has begun to serve, and until a trade has reached the follower, s."""
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
        trades = [row.body for row in rows if row.kind == "trade"]
        payments = {row.lot_id: row.state for row in rows if row.kind == "settlement"}
        found[int(directory.name.removeprefix("bess-"))] = Stored(
            len(trades),
            Wh(sum(int(str(trade["energy_wh"])) for trade in trades)),
            Micro(sum(int(str(trade["paid_micro"])) for trade in trades)),
            sum(state == "settled" for state in payments.values()),
        )
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


def until(condition: Any, limit_s: float) -> bool:
    """Whether another process has made something true before the limit."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(WAIT_S)  # another process' files: nothing here tells of their change
    return True


def run(plan: Plan) -> Report:
    """Measure."""
    kills, slots = plan.size(KILLS, 2), plan.size(SLOTS, 20)
    with plan.scratch() as directory:
        out, state, port = directory / "out", directory / "gateway", free_port()
        url = f"http://127.0.0.1:{port}"
        days = [
            "--first-slot",
            "0" if slots == SLOTS else "36",
            "--slots",
            str(slots),
            "--seconds-per-slot",
            str(SLOT_S),
        ]
        served = ["gateway", "--listen", f"127.0.0.1:{port}", "--state-dir", str(state), "--open"]
        done, starts = 0, []
        with running(
            "cli.main", ["demo", "--json", "--out", str(out), "--gateway", url, *days], directory / "demo.log"
        ) as demo:
            registry = out / "registry.toml"
            until(registry.exists, DEMO_S)
            arguments = [*served, "--registry", str(registry), "--log-level", "warning"]
            with following(url) as follower:
                gateway = Child("cli.main", arguments, directory / "gateway.log")
                try:
                    began_s = time.monotonic()
                    gateway.line()
                    while done < kills:
                        seen, ready_s = follower.trades, time.monotonic()
                        enough = lambda seen=seen, ready_s=ready_s: (  # noqa: E731
                            follower.trades > seen and time.monotonic() - ready_s > BETWEEN_S
                        )
                        until(enough, AT_MOST_S)
                        gateway.kill()
                        done += 1
                        began_s = time.monotonic()
                        gateway = Child("cli.main", arguments, directory / "gateway.log")
                        gateway.line()
                        starts.append(time.monotonic() - began_s)
                    said = json.loads(demo.rest(DEMO_S).splitlines()[-1])
                    own = journals(out)
                    until(lambda: follower.by_battery == own, AT_MOST_S)
                    accounts = {
                        "database": stored(state),
                        "stored events": events_stored(state),
                        "stream": follower.by_battery,
                    }
                finally:
                    gateway.stop()
                gaps = follower.gaps
    wrong = {
        f"{name} unlike journals": sum(held.get(device) != sums for device, sums in own.items())
        for name, held in accounts.items()
    }
    return Report(
        f"{done} × kill -9 of the gateway during {slots} half-hours of {SLOT_S:g} s; {len(own)} batteries",
        [
            *(Figure(name, count, "batteries", most=0) for name, count in wrong.items()),
            Figure("durable events missed by the stream", gaps, "gaps", most=0),
            Figure("violations of the demo", len(said["violations"]) + len(said["faults"]), "", most=0),
            Figure("trades", sum(sums.trades for sums in own.values()), "", least=1),
            Figure("energy", sum(sums.energy for sums in own.values()), "Wh"),
            Figure("paid", sum(sums.paid for sums in own.values()), "µ"),
            Figure("serves again after", round(max(starts) * 1000, 1), "ms"),
        ],
        notes={"kills": done},
    )
