"""The dashboard in a real browser beside a real demo: from the login link to a trade that is verified, and when all is over.

The tests of this module are one story and run in order, on one worker: the demo trades, somebody watches, the demo ends, its
gateway comes back alone. A screenshot of each page is kept under runs/screenshots.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from benches.browser import FIRST_PAINT, chromium
from tests.e2e.browser import AXE, ROOT, complaints, needs_chromium

pytestmark = [needs_chromium, pytest.mark.xdist_group("dashboard")]
expect.set_options(timeout=30_000)  # the machine has other tests to run

SHOTS = ROOT / "runs" / "screenshots"
SHORT = ("--first-slot", "36", "--slots", "30", "--seconds-per-slot", "0.8")
PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 800}
PAGES = {
    "market": "/",
    "batteries": "/batteries",
    "battery": "/batteries/101",
    "aggregators": "/aggregators",
    "aggregator": "/aggregators/500",
    "trades": "/trades",
    "competition": "/competition",
    "network": "/network",
}
TRADE = re.compile(r"/trades/\d+/\d+$")
SEE_STANDING = """new MutationObserver(() => {
  const found = document.querySelector("[data-testid=lot-standing]");
  if (found) document.body.dataset.standing = found.textContent;
}).observe(document.body, {childList: true, subtree: true, characterData: true})"""
"""In the demo a lot closes 200 ms after its last better bid: too soon to be asked for, not too soon to be seen."""


class Story:
    """The demo, its gateway and the browser's one session."""

    def __init__(self, out: Path) -> None:
        self.out, self.port = out, _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.link = ""
        self.trade = ""
        """Path of the trade that was followed."""
        self.summary: dict[str, object] = {}
        self._linked = threading.Event()
        self._demo = subprocess.Popen(
            [*_etp("demo"), "--json", "--out", str(out), "--dashboard", f"127.0.0.1:{self.port}", *SHORT],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"COLUMNS": "200"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._gateway: subprocess.Popen[str] | None = None
        assert self._linked.wait(90), "the demo printed no link to its dashboard"

    def _read(self) -> None:
        assert self._demo.stderr is not None
        for line in self._demo.stderr:
            found = re.match(r"Dashboard: (\S+)", line)
            if found:
                self.link = found[1]
                self._linked.set()

    def see_the_end(self) -> None:
        """Wait until the demo, and its gateway, have ended."""
        assert self._demo.stdout is not None
        self.summary = json.loads(self._demo.stdout.read().splitlines()[-1])
        assert self._demo.wait(60) == 0
        self._reader.join()

    def open_again(self) -> None:
        """The gateway alone, on the demo's store and at its address."""
        state, registry = str(self.out / "gateway"), str(self.out / "registry.toml")
        options = ["--listen", f"127.0.0.1:{self.port}", "--state-dir", state, "--registry", registry]
        with (self.out / "again.log").open("w") as log:
            self._gateway = subprocess.Popen(
                [*_etp("gateway"), *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._gateway.stdout is not None
        assert json.loads(self._gateway.stdout.readline())["ready"]

    def close(self) -> None:
        """End what runs."""
        for process in (self._demo, self._gateway):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(30)
            for pipe in (process.stdout, process.stderr) if process else ():
                if pipe is not None:
                    pipe.close()


def _etp(command: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A running demo."""
    told = Story(tmp_path_factory.mktemp("dashboard") / "out")
    yield told
    told.close()


@pytest.fixture(scope="module")
def context(story: Story) -> Iterator[BrowserContext]:
    """A browser that nobody has logged in yet."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        context = browser.new_context(
            base_url=story.url, viewport=WIDE, timezone_id="Australia/Brisbane", locale="en-GB"
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def page(context: BrowserContext) -> Iterator[Page]:
    """The one tab of the story; whatever the page complains about fails its test."""
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    yield page
    assert said == []


def test_without_a_login_nothing_is_shown(page: Page) -> None:
    """The pages ask for a login, and REST says why."""
    page.goto("/trades")
    expect(page.get_by_test_id("login-form")).to_be_visible()
    answer = page.request.get("/api/v1/trades")
    assert answer.status == 401
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_the_link_logs_in_once(story: Story, page: Page) -> None:
    """It opens the market, leaves no token behind, and does not work again."""
    page.goto(story.link)
    expect(page.get_by_test_id("figure-trades")).to_be_visible()
    assert "token" not in page.url
    cookie = next(cookie for cookie in page.context.cookies() if cookie["name"].startswith("etp_session_"))
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    token = story.link.partition("token=")[2]
    assert page.request.post("/api/v1/login/link", data={"token": token}, headers={"Origin": story.url}).status == 401
    assert token not in page.content()


def test_a_lot_is_followed_live(story: Story, page: Page) -> None:
    """An open lot, its trade as it is made, and its payment, without reloading anything."""
    page.goto("/")
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
    expect(page.get_by_test_id("replay")).to_be_visible()
    page.evaluate(SEE_STANDING)
    expect(page.get_by_test_id("lot-row").first).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-standing", re.compile(r"\d c/kWh"))
    newest = page.get_by_test_id("trade-row").first
    expect(newest).to_be_visible()
    page.screenshot(path=SHOTS / "market-live.png", full_page=True)
    newest.get_by_role("link", name="details").click()
    page.wait_for_url(TRADE)
    story.trade = urlsplit(page.url).path
    expect(page.get_by_test_id("trade-settlement")).to_contain_text("settled")


def test_a_trade_is_verified_in_the_browser(page: Page) -> None:
    """Every message decoded, every check passed."""
    expect(page.get_by_test_id("frame").first).to_be_visible()
    page.get_by_test_id("verify").click()
    expect(page.get_by_test_id("verify-verdict")).to_have_attribute("data-result", "passed")
    results = [check.get_attribute("data-result") for check in page.get_by_test_id("check").all()]
    assert len(results) > 10
    assert set(results) == {"passed"}
    page.screenshot(path=SHOTS / "trade.png", full_page=True)


def test_the_drawer_follows_filters_and_pauses(page: Page) -> None:
    """Events as they come, by keyboard: of one type, held while paused, one of them whole."""
    page.get_by_test_id("events-toggle").focus()
    page.keyboard.press("Enter")
    rows = page.get_by_test_id("event-row")
    expect(rows.first).to_be_visible()
    page.get_by_test_id("events-type").select_option("BESSNodeStatus")
    expect(rows.first).to_contain_text("BESSNodeStatus")
    page.get_by_test_id("events-pause").press("Enter")
    before = rows.first.inner_text()
    expect(page.get_by_test_id("events-pause")).to_contain_text(re.compile(r"[1-9]\d* "))
    assert rows.first.inner_text() == before
    rows.first.get_by_role("button").press("Enter")
    assert json.loads(page.get_by_test_id("event-json").inner_text())["type"] == "BESSNodeStatus"
    page.screenshot(path=SHOTS / "drawer.png")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("events-drawer")).to_be_hidden()
    expect(page.get_by_test_id("events-toggle")).to_be_focused()


def test_a_lost_gateway_is_said_and_found_again(story: Story, page: Page) -> None:
    """A banner with the age of what is shown; when the gateway is back the page goes on by itself."""
    page.goto("/")
    expect(page.get_by_test_id("connection")).to_have_attribute("data-phase", "live")
    story.see_the_end()
    banner = page.get_by_test_id("banner")
    expect(banner).to_have_attribute("data-lost", "true")
    expect(page.get_by_test_id("data-age")).to_contain_text(re.compile(r"\d+ s"))
    page.screenshot(path=SHOTS / "disconnected.png")
    story.open_again()
    expect(banner).to_have_attribute("data-lost", "false")
    expect(page.get_by_test_id("figure-trades")).to_contain_text(str(story.summary["trades"]))
    expect(page.get_by_test_id("figure-settled")).to_contain_text(
        f"{story.summary['settled']} of {story.summary['trades']}"
    )
    assert story.summary["violations"] == story.summary["faults"] == []


@pytest.mark.parametrize("name", PAGES)
def test_each_page_shows_and_is_accessible(page: Page, name: str) -> None:
    """Light and dark: something to see, nothing that axe-core objects to, by keyboard from the top; on a phone nothing is cut off."""
    page.goto(PAGES[name])
    expect(page.locator("main h1")).to_be_visible()
    page.wait_for_load_state("networkidle")
    for theme in ("light", "dark"):
        if page.evaluate("getComputedStyle(document.documentElement).colorScheme") != theme:
            page.get_by_test_id("theme-toggle").click()
        page.screenshot(path=SHOTS / f"{name}-{theme}.png", full_page=True, animations="disabled")
        if AXE.is_file():
            assert complaints(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.screenshot(path=SHOTS / f"{name}-phone.png", full_page=True, animations="disabled")
    page.set_viewport_size(WIDE)
    page.reload()
    expect(page.locator("main h1")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"


def test_the_followed_trade_is_found_again_by_its_url(story: Story, page: Page) -> None:
    """A URL is all that it takes: filters and trades are in it."""
    page.goto(story.trade)
    expect(page.get_by_test_id("verify")).to_be_visible()
    battery = story.trade.split("/")[2]
    page.goto(f"/trades?battery={battery}&settlement=settled")
    expect(page.get_by_test_id("trade-row").first).to_be_visible()
    for row in page.get_by_test_id("trade-row").all():
        assert (row.get_attribute("data-key") or "").startswith(f"{battery}/")


def test_the_first_paint_is_quick(context: BrowserContext) -> None:
    """Under a second on loopback, in the best of three: other tests share the cores."""
    page = context.new_page()
    paints = []
    for _ in range(3):
        page.goto("/")
        paints.append(page.evaluate(FIRST_PAINT))
    page.close()
    assert min(paints) < 1_000, paints


def test_a_logout_ends_the_session(page: Page) -> None:
    """The cookie is worth nothing afterwards."""
    stolen = page.context.cookies()
    page.goto("/")
    page.get_by_test_id("logout").click()
    expect(page.get_by_test_id("login-form")).to_be_visible()
    page.context.add_cookies(stolen)  # type: ignore[arg-type]
    assert page.request.get("/api/v1/trades").status == 401
