"""What tests ask of a page in Debian's Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from benches.browser import CHROMIUM

ROOT = Path(__file__).parents[2]
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
"""There after `make dashboard-check`, which CI runs first."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)")


def complaints(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.1 A and AA on a page, in words."""
    page.evaluate(AXE.read_text())  # as the devtools would: the page's own policy lets no foreign script in
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    return [
        f"{violation['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
