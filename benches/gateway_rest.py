"""REST over a store of 1,000,000 trades: how long each list, filter, deep page and statistic takes while others are asked for.

The gateway is `etp gateway` as it is, asked with an API key; the clients are another process with 16 connections, and ask at
a stated rate: a request that waits because the gateway is busy has waited.
"""

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from benches import gateway_fill as filled
from benches.askers import Answers, Asking
from benches.child import Child, running
from benches.load import busy_s
from benches.plan import Plan
from benches.report import MS, Figure, Report, percentile, spread
from gateway import cursor
from gateway.access import api_key, stored, text_of
from gateway.io.rest.answers import scope_of
from gateway.rollups import DAY_US
from gateway.settings import DATABASE_FILE
from gateway.translate import signed

TRADES: Final = 1_000_000
RATE: Final = 60.0
"""Requests a second: as many as 1,000 dashboards make that each open a page of ten requests every three minutes."""
CONNECTIONS: Final = 16
SECONDS: Final = 30.0
MOST_P99_MS: Final = 50.0
_KEY_ID: Final = b"benchkey"


def _page(path: str, filters: dict[str, object], key: tuple[int, int, int]) -> str:
    """A page from the middle of a list."""
    name = path.rpartition("/")[2]
    place = cursor.encode(scope_of(name, filters), tuple(map(signed, key)))
    query = "&".join(f"{each}={quote(str(value))}" for each, value in filters.items())
    return f"{path}?{query + '&' if query else ''}cursor={place}"


def paths(count: int) -> list[tuple[str, str]]:
    """(kind, path): what is asked in turn."""
    api, middle = "/api/v1", filled.trade_key(count // 2)
    deep = filled.trade_key(count // 50)
    time_us, battery, lot_id = middle
    buyer = filled.FIRST_AGGREGATOR + 7
    paid = (time_us + 14_000_000, battery, lot_id)
    ended = (time_us - 50_000, battery, lot_id)
    begin = filled.FIRST_US // DAY_US * DAY_US + DAY_US
    month = f"from_us={begin + 3_600_000_000}&to_us={begin + 30 * DAY_US}"
    return [
        ("overview", f"{api}/overview"),
        ("batteries", f"{api}/batteries"),
        ("batteries offline", f"{api}/batteries?online=false&limit=500"),
        ("battery", f"{api}/batteries/{battery}"),
        ("samples", f"{api}/batteries/{battery}/samples"),
        ("aggregators", f"{api}/aggregators"),
        ("lots", f"{api}/lots"),
        ("lots deep", _page(f"{api}/lots", {}, ended)),
        ("lots void", f"{api}/lots?state=void"),
        ("lots of a battery", f"{api}/lots?battery={battery}&mechanism=vickrey"),
        ("lot", f"{api}/lots/{battery}/{lot_id}"),
        ("trades", f"{api}/trades"),
        ("trades 500", f"{api}/trades?limit=500"),
        ("trades deep", _page(f"{api}/trades", {}, deep)),
        ("trades of a battery", f"{api}/trades?battery={battery}"),
        ("trades of an aggregator", f"{api}/trades?aggregator={buyer}"),
        ("trades of an aggregator deep", _page(f"{api}/trades", {"aggregator": buyer}, deep)),
        ("trades disputed", f"{api}/trades?settlement=disputed"),
        ("trades short", f"{api}/trades?delivery=short"),
        ("trades at a high price", f"{api}/trades?min_micro_per_kwh=199900"),
        ("trades, three filters", f"{api}/trades?battery={battery}&aggregator={buyer}&settlement=settled"),
        ("trades of a day", f"{api}/trades?from_us={time_us}&to_us={time_us + DAY_US}"),
        ("trade", f"{api}/trades/{battery}/{lot_id}"),
        ("settlements", f"{api}/settlements"),
        ("settlements deep", _page(f"{api}/settlements", {}, paid)),
        ("settlements settling", f"{api}/settlements?state=settling"),
        ("events", f"{api}/events"),
        ("events of a type", f"{api}/events?type=SecurityEvent"),
        ("events of a node", f"{api}/events?node={battery}&type=TradeConfirmed"),
        ("statistics", f"{api}/statistics"),
        ("statistics by hour of day", f"{api}/statistics?by=hour_of_day"),
        ("statistics by bidders", f"{api}/statistics?by=bidders"),
        ("statistics by battery", f"{api}/statistics?by=battery"),
        ("statistics by battery, a month", f"{api}/statistics?by=battery&{month}"),
        ("statistics by aggregator", f"{api}/statistics?by=aggregator"),
        ("statistics by hour, a month", f"{api}/statistics?by=hour&{month}"),
        ("statistics of a battery", f"{api}/statistics?by=hour_of_day&battery={battery}"),
        ("statistics of an aggregator", f"{api}/statistics?by=bidders&aggregator={buyer}"),
        ("latency", f"{api}/latency"),
    ]


def group_of(kind: str) -> str:
    """What kinds are judged together: a percentile of the forty requests of one kind is its worst."""
    if kind.endswith("deep"):
        return "deep pages"
    if kind.startswith(("statistics", "latency", "overview")):
        return "statistics"
    if kind in ("battery", "lot", "trade"):
        return "single things"
    return "filters" if "offline" in kind or (len(kind.split()) > 1 and kind != "trades 500") else "lists"


def with_key(path: Path) -> str:
    """A key for the store, made as `etp gateway key add` makes it."""
    secret = os.urandom(32)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "INSERT INTO api_keys (key_id, secret, name, scope, created_us) VALUES (?, ?, 'bench', 'viewer', 0)",
            (_KEY_ID.hex(), stored(text_of(secret))),
        )
    connection.close()
    return api_key(_KEY_ID, secret)


class Phase(NamedTuple):
    """What was asked and came back."""

    answers: Answers
    rate: float
    gateway_percent: float
    others_percent: float
    """Of one core; the askers' own part is in it."""
    memory_mib: float


def ask(gateway: Child, address: str, key: str, directory: Path, plan: Plan, *, count: int) -> Phase:
    """Ask for everything in turn. Raises ChildError."""
    place, asked, seconds = urlsplit(address), paths(count), plan.phase_s(SECONDS)
    rate = max(RATE, 2 * len(asked) / seconds) if plan.quick else RATE  # each at least twice
    asking = Asking(place.hostname or "", place.port or 0, key, asked, rate, seconds, CONNECTIONS)
    with running("benches.askers", [msgspec.json.encode(asking).decode()], directory / "askers.log") as askers:
        askers.line()
        gateway_s, all_s = gateway.cpu_s(), busy_s()
        askers.tell(repr(time.monotonic() + 0.2).encode())
        answers = msgspec.json.decode(askers.rest(seconds + 30), type=Answers)
        gateway_s, all_s = gateway.cpu_s() - gateway_s, busy_s() - all_s
    others = max(0.0, all_s - gateway_s)
    return Phase(answers, rate, 100 * gateway_s / seconds, 100 * others / seconds, gateway.memory_mib())


def run(plan: Plan) -> Report:
    """Measure."""
    count = plan.size(TRADES, 2_000)
    with plan.scratch() as directory:
        state = directory / "gateway"
        state.mkdir(mode=0o700)
        database = state / DATABASE_FILE
        began_s = time.monotonic()
        filled.fill_sqlite(database, count)
        fill_s = time.monotonic() - began_s
        key, megabytes = with_key(database), database.stat().st_size / 1e6
        arguments = ["gateway", "--listen", "127.0.0.1:0", "--state-dir", str(state), "--log-level", "warning"]
        with running("cli.main", arguments, directory / "gateway.log") as gateway:
            phase = ask(gateway, gateway.line()["http"], key, directory, plan, count=count)
    figures = [Figure("filled in", round(fill_s, 1), "s"), Figure("store", round(megabytes), "MB")]
    return report(plan, phase, f"{count:,} trades, SQLite", figures)


def report(plan: Plan, phase: Phase, store: str, more: Sequence[Figure]) -> Report:
    """The figures."""
    most, answers = None if plan.quick else MOST_P99_MS, phase.answers
    every = [took / 1000 for times in answers.took_us.values() for took in times]
    grouped: defaultdict[str, list[float]] = defaultdict(list)
    for kind, times in answers.took_us.items():
        grouped[group_of(kind)] += [took / 1000 for took in times]
    groups = [
        Figure(f"{name} p99", round(percentile(sorted(times), 99), 2), MS, most=most)
        for name, times in sorted(grouped.items())
    ]
    each = [
        Figure(f"{kind} p50", round(percentile(sorted(times), 50) / 1000, 2), MS)
        for kind, times in answers.took_us.items()
    ]
    return Report(
        f"{store}; {phase.rate:g} requests/s of {len(answers.took_us)} kinds over {CONNECTIONS} connections",
        [
            *spread("answer", every, most_p99=most),
            *groups,
            *each,
            Figure("wrong answers", sum(answers.wrong.values()), most=0),
            Figure("unanswered requests", answers.unanswered, most=0),
            Figure("gateway, share of a core", round(phase.gateway_percent, 1), "%"),
            Figure("all else, share of a core", round(phase.others_percent, 1), "%"),
            Figure("memory (RSS)", round(phase.memory_mib, 1), "MiB"),
            *more,
        ],
        notes=answers.wrong,
    )
