"""The gateway of a demo: a process like the others, told by every node what happens, and the link to look at it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cli.demo.processes import Daemon, launch, ready, stop
from etp.effects import Row
from etp.units import Micro, Wh
from gateway.settings import DATABASE_FILE
from sim.invariants import BatteryBooks, Violation


@dataclass(eq=False)
class Dashboard:
    """A gateway that serves."""

    daemon: Daemon
    url: str
    """Where nodes and viewers find it."""
    login: str
    """Opens the dashboard, once."""


class Stored(NamedTuple):
    """What a gateway holds of one battery's sales."""

    trades: int
    energy: Wh
    paid: Micro
    settled: int


async def open_dashboard(address: str, registry: Path, directory: Path) -> Dashboard:
    """Start `etp gateway` and wait until it serves. Raises NodeError."""
    words = ["--listen", address, "--registry", str(registry)]
    daemon = await launch("gateway", "gateway", words, directory)
    try:
        await ready(daemon)
    except BaseException:
        await stop([daemon])
        raise
    return Dashboard(daemon, str(daemon.line["http"]), str(daemon.line["login"]))


def stored(directory: Path) -> dict[int, Stored]:
    """What the database of a gateway in this state directory holds, by battery. Raises sqlite3.Error."""
    query = (
        "SELECT battery, COUNT(*), SUM(energy_wh), SUM(paid_micro), SUM(settlement = 'settled') FROM trades GROUP BY 1"
    )
    database = sqlite3.connect(f"file:{directory / DATABASE_FILE}?mode=ro", uri=True)
    try:
        found = database.execute(query).fetchall()
    finally:
        database.close()
    return {battery: Stored(count, Wh(energy), Micro(paid), settled) for battery, count, energy, paid, settled in found}


def journalled(rows: Sequence[Row]) -> Stored:
    """The same of a battery's journal."""
    trades = [row.body for row in rows if row.kind == "trade"]
    payments = {row.lot_id: row.state for row in rows if row.kind == "settlement"}
    return Stored(
        len(trades),
        Wh(sum(int(str(trade["energy_wh"])) for trade in trades)),
        Micro(sum(int(str(trade["paid_micro"])) for trade in trades)),
        sum(state == "settled" for state in payments.values()),
    )


def unlike(batteries: Sequence[BatteryBooks], directory: Path) -> list[Violation]:
    """Batteries of which the gateway holds something else than their journals."""
    try:
        held = stored(directory)
    except sqlite3.Error as error:
        return [Violation("gateway", 0, f"its database could not be read: {error}")]
    found = []
    for battery in batteries:
        own = journalled(battery.rows)
        theirs = held.get(battery.device_id, Stored(0, Wh(0), Micro(0), 0))
        if own != theirs:
            found.append(Violation("gateway", battery.device_id, f"its journal has {own}, the gateway {theirs}"))
    return found
