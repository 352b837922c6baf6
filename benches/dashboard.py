"""The dashboard in a real browser: its first paint, its size, and whether it grows while events come.

A gateway is told 60 events a second; the market page is open with its events drawer, which draws each of them. The heap is what
is left after the browser has collected its garbage.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import msgspec
from playwright.sync_api import Browser, CDPSession, Page

from benches.browser import CHROMIUM, FIRST_PAINT, chromium
from benches.child import running
from benches.plan import ROOT, Plan
from benches.report import MS, Figure, Report
from benches.tellers import Telling

BATTERIES: Final = 20
RATE: Final = 60.0
SECONDS: Final = 60.0
"""`--seconds 600` for ten minutes."""
LOADS: Final = 5
FILLED: Final = 0.25
"""Of the time, until every bounded list is full and everything is compiled: then the heap is read first."""
MOST_PAINT_MS: Final = 1_000.0
MOST_BUNDLE_KB: Final = 200.0
MOST_GROWTH_MIB: Final = 1.0
KB, MIB = 1_000, 1 << 20
SHOWN_MS: Final = 30_000.0


def _first_paint(browser: Browser, url: str) -> float:
    """Of a browser that has never been there, ms."""
    page = browser.new_page()
    page.goto(url)
    found: float = page.evaluate(FIRST_PAINT)
    page.close()
    return found


def _heap_mib(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    return used / MIB


def _watched(page: Page, url: str) -> CDPSession:
    """The market with its drawer open."""
    page.goto(url)
    page.get_by_test_id("events-toggle").click()
    page.get_by_test_id("event-row").first.wait_for(timeout=SHOWN_MS)
    return page.context.new_cdp_session(page)


@contextmanager
def _gateway(directory: Path) -> Iterator[str]:
    """The URL of a gateway that is told 60 events a second."""
    arguments = ["gateway", "--listen", "127.0.0.1:0", "--open", "--log-level", "warning"]
    state = ["--state-dir", str(directory / "gateway")]
    with (
        running("cli.main", [*arguments, *state], directory / "gateway.log") as gateway,
        running("benches.tellers", [], directory / "tellers.log") as tellers,
    ):
        url: str = gateway.line()["http"]
        address = urlsplit(url)
        tellers.tell(msgspec.json.encode(Telling(address.hostname or "", address.port or 0, BATTERIES, RATE)))
        tellers.line()
        yield url


def run(plan: Plan) -> Report:
    """Measure."""
    if CHROMIUM is None:
        return Report("not measured: chromium is not installed", [])
    (bundle,) = (ROOT / "gateway" / "static" / "assets").glob("index-*.js.gz")
    seconds = plan.phase_s(SECONDS)
    with plan.scratch() as directory, _gateway(directory) as url, chromium() as browser:
        paints = [_first_paint(browser, url) for _ in range(plan.size(LOADS, 1))]
        page = browser.new_page()
        session = _watched(page, url)
        time.sleep(seconds * FILLED)
        before_mib, before_nodes = _heap_mib(session), _nodes(page)
        time.sleep(seconds * (1 - FILLED))
        after_mib, after_nodes = _heap_mib(session), _nodes(page)
    most = None if plan.quick else MOST_GROWTH_MIB
    return Report(
        f"the market page with its events drawer open, {RATE:g} events/s for {seconds:g} s",
        [
            Figure("first paint, median", round(median(paints), 1), MS, most=None if plan.quick else MOST_PAINT_MS),
            Figure("first paint, worst", round(max(paints), 1), MS),
            Figure("main bundle, gzipped", round(bundle.stat().st_size / KB, 1), "kB", most=MOST_BUNDLE_KB),
            Figure("heap once its lists are full", round(before_mib, 2), "MiB"),
            Figure("heap at the end", round(after_mib, 2), "MiB"),
            Figure("heap grown by", round(max(0.0, after_mib - before_mib), 2), "MiB", most=most),
            Figure("elements once its lists are full", before_nodes, ""),
            Figure("elements at the end", after_nodes, ""),
        ],
    )


def _nodes(page: Page) -> int:
    found: int = page.evaluate("document.getElementsByTagName('*').length")
    return found
