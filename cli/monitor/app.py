"""The monitor on a terminal: keys in, lines out. What is shown is decided in `screen`, from what `world` knows."""

import asyncio
import random
import time
from typing import Any, ClassVar, Final

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from cli.monitor.details import Line, details, evidence, title_of
from cli.monitor.screen import HELP, Drawn, Link, View, draw
from cli.monitor.things import Trade
from cli.monitor.widgets import COLOURLESS, TONES, Filter, Lines, Page
from gateway.client import Connected, Refused, World
from gateway.io.client import AccessDeniedError, ClientError, GatewayClient, Lost, Report
from gateway.place import GatewayPlace

REDRAW_S: Final = 0.25
"""What changed is drawn so often at most, s: four screens a second are 20 kB/s over SSH at the worst."""
AGE_S: Final = 1.0
"""And what did not change once in this, s: the age of the data rises."""
LONGEST_FILTER: Final = 60
OK: Final = 200


class Monitor(App[str]):
    """`run` returns why it ended where the gateway does not let us in; None: the user left."""

    CSS = "Screen { background: ansi_default; color: ansi_default; overflow: hidden; }"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        *((str(number + 1), f"turn({number})", "table") for number in range(6)),
        # First, since every screen has Tab move the focus.
        Binding("tab", "next(1)", "next table", priority=True),
        Binding("shift+tab", "next(-1)", "table before", priority=True),
        ("right", "next(1)", "next table"),
        ("left", "next(-1)", "table before"),
        ("down,j", "by(1)", "down"),
        ("up,k", "by(-1)", "up"),
        ("pagedown", "pages(1)", "page down"),
        ("pageup", "pages(-1)", "page up"),
        ("home", "by(-1000000)", "top"),
        ("end", "by(1000000)", "end"),
        ("enter", "details", "details"),
        ("slash", "filter", "filter"),
        ("escape", "unfilter", "no filter"),
        ("space", "pause", "pause"),
        ("e", "all_events", "all events"),
        ("r", "refresh_world", "ask anew"),
        ("question_mark,h", "help", "help"),
        ("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", priority=True),  # as everywhere, also while a filter is typed
    ]

    def __init__(
        self,
        place: GatewayPlace,
        *,
        api_key: str | None,
        coloured: bool = True,
        rng: random.Random | None = None,
        redraw_s: float = REDRAW_S,
    ) -> None:
        super().__init__(ansi_color=True)
        self.view = View(Link(place.name))
        self._place, self._api_key, self._rng = place, api_key, rng or random.Random()
        self._tones = TONES if coloured else COLOURLESS
        self._client: GatewayClient | None = None
        self._redraw_s = redraw_s
        self._changed = False
        self._drawn_s = 0.0

    def compose(self) -> ComposeResult:
        """The market, and a line for the filter."""
        yield Lines(self._draw, self._tones)
        yield Filter(max_length=LONGEST_FILTER, placeholder="words to look for", select_on_focus=False)

    def _draw(self, width: int, height: int) -> list[Drawn]:
        return draw(self.view, now_s=time.monotonic(), width=width, height=height)

    # -- the gateway

    def on_mount(self) -> None:
        """Begin to listen and to draw."""
        self.screen.set_focus(None)
        self._client = GatewayClient(self._place, api_key=self._api_key, on_report=self.take, rng=self._rng)
        self._client.on_heard = self._heard
        self.run_worker(self._listen(self._client), exit_on_error=True)
        self.set_interval(self._redraw_s, self._redraw_if_due)

    async def on_unmount(self) -> None:
        """Let go of the gateway."""
        if self._client is not None:
            await self._client.close()

    async def _listen(self, client: GatewayClient) -> None:
        try:
            await client.run()
        except AccessDeniedError as error:
            self.exit(str(error))

    def _heard(self) -> None:
        self.view.link.heard_s = time.monotonic()

    def take(self, report: Report) -> None:
        """Something was heard of the gateway."""
        link = self.view.link
        if isinstance(report, Lost):
            link.state, link.why, link.retry_at_s = "lost", report.why, time.monotonic() + report.retry_s
        else:
            if isinstance(report, Connected):
                link.state, link.why = ("live" if report.resuming else "connecting"), ""
            elif isinstance(report, World):
                link.state = "live"
            elif isinstance(report, Refused):
                self.view.note = f"the gateway refused: {report.reason}"
            self.view.known.take(report)
        self._changed = True

    # -- drawing

    def _redraw_if_due(self) -> None:
        now_s = time.monotonic()
        if self._changed or now_s - self._drawn_s >= AGE_S:
            self._redraw()

    def _redraw(self) -> None:
        self._changed, self._drawn_s = False, time.monotonic()
        if self.screen_stack:
            self.screen_stack[0].query_one(Lines).refresh()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Over details or help the market's keys do nothing, and while a filter is typed Tab does not."""
        if action == "next" and isinstance(self.focused, Filter):
            return False
        if len(self.screen_stack) > 1 and action not in ("quit", "dismiss"):
            return False
        return super().check_action(action, parameters)

    def action_turn(self, to: int) -> None:
        """Show a table."""
        self.view.turn(to)
        self._redraw()

    def action_next(self, by: int) -> None:
        """Show the next table, or the one before."""
        self.action_turn(self.view.tab + by)

    def action_by(self, lines: int) -> None:
        """Move the cursor."""
        self.view.move(lines)
        self._redraw()

    def action_pages(self, pages: int) -> None:
        """Move the cursor by screens."""
        self.action_by(pages * max(self.size.height - 6, 1))

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self.view.pause()
        self._redraw()

    def action_all_events(self) -> None:
        """List all events from now on, or only those that are news."""
        known = self.view.known
        known.all_events = not known.all_events
        self.view.note = "all events from now on" if known.all_events else "only news from now on"
        self._redraw()

    async def action_refresh_world(self) -> None:
        """Ask what is true now."""
        if self._client is not None:
            await self._client.request_snapshot()
        self.view.note = "asked the gateway anew"
        self._redraw()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Page("Help", [Line(text) for text in HELP], self._tones))

    # -- the filter

    def action_filter(self) -> None:
        """Ask for words."""
        line = self.query_one(Filter)
        line.value = self.view.words
        line.add_class("shown")
        line.focus()

    def action_unfilter(self) -> None:
        """Show everything again."""
        self.view.words = ""
        self._leave_filter()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filter while it is typed."""
        self.view.words = message.value
        self._redraw()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Keep the filter."""
        self._leave_filter()

    def _leave_filter(self) -> None:
        line = self.query_one(Filter)
        with self.prevent(Input.Changed):
            line.value = ""
        line.remove_class("shown")
        self.screen.set_focus(None)
        self._redraw()

    # -- details

    def action_details(self) -> None:
        """Show every field of what the cursor is on."""
        row = self.view.chosen()
        if row is None:
            return
        shown = Page(title_of(row), details(row.thing, self.view.shown, self.view.zone), self._tones)
        self.push_screen(shown)
        if isinstance(row.thing, Trade) and self._client is not None:
            self.run_worker(self._add_evidence(shown, row.thing, self._client), exit_on_error=True)

    async def _add_evidence(self, shown: Page, trade: Trade, client: GatewayClient) -> None:
        sold = trade.confirmed
        try:
            answer = await client.get(f"trades/{sold.node}/{sold.lot_id}")
        except ClientError as error:
            lines = [Line(""), Line(f"its messages cannot be shown: {error}", "warn")]
        else:
            lines = _read(answer.status_code, answer, self.view)
        if shown.is_attached:
            shown.add(lines)

    def on_resize(self, _: events.Resize) -> None:
        """Draw for the new size."""
        self._changed = True


def _read(status: int, answer: Any, view: View) -> list[Line]:
    try:
        found = answer.json() if status == OK else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return [Line(""), Line(f"its messages cannot be shown: the gateway answers {status}", "warn")]
    return evidence(found, view.zone)


async def wait_for_world(place: GatewayPlace, api_key: str | None, *, limit_s: float) -> tuple[View, World]:
    """What is true now, asked once. Raises AccessDeniedError, UnreachableError, TimeoutError."""
    view = View(Link(place.name))
    found: asyncio.Future[World] = asyncio.get_running_loop().create_future()

    def take(report: Report) -> None:
        if not isinstance(report, Lost):
            view.known.take(report)
        if isinstance(report, World) and not found.done():
            found.set_result(report)

    client = GatewayClient(place, api_key=api_key, on_report=take, rng=random.Random())
    listening = asyncio.create_task(client.listen_once())
    try:
        async with asyncio.timeout(limit_s):
            either: set[asyncio.Future[Any]] = {listening, found}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            listening.result()
        return view, found.result()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await client.close()
