"""Debian's Chromium, driven by Playwright: one browser, told to talk to nobody but the pages it is sent to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

CHROMIUM: Final = shutil.which("chromium")
"""None: it is not installed."""
QUIET: Final = (
    "--no-sandbox",  # as root, as CI is, Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FIRST_PAINT: Final = """new Promise(resolve => new PerformanceObserver(list => {
  for (const paint of list.getEntriesByName("first-contentful-paint")) resolve(paint.startTime);
}).observe({type: "paint", buffered: true}))"""
"""To be evaluated in a page: when it first showed something, ms after it was asked for."""


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """A browser; `more` of its own options."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *more])
        try:
            yield browser
        finally:
            browser.close()
