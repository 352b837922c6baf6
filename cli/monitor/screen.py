"""The screen as lines of text in a given size: heading, tabs, a table with its cursor, totals, keys. Pure."""

from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final, Literal, NamedTuple, TypeAlias

from rich.cells import chop_cells

from cli.monitor.details import Line
from cli.monitor.tables import TABS, Column, Row, Tab, Tone, in_replay, rows_of
from cli.monitor.words import cents, clean, fit, full_time, kwh, moment, span, whole
from cli.monitor.world import Known

Look: TypeAlias = Literal["", "bold", "cursor", "tab", "heading"]
LEAST_WIDTH: Final = 40
"""Narrower than this nothing is shown but a word about it."""
CHROME: Final = 5
"""Lines beside the rows: heading, tabs, columns' heads, totals, keys."""
STALE_S: Final = 10.0
"""Data older than this is said to be old, s: five heartbeats."""
KEYS: Final = "1-6 table  / filter  space pause  Enter details  ? help  q quit"

HELP: Final = (
    "1 2 3 4 5 6      a table; Tab and Shift-Tab, or left and right: the next one",
    "up, down         move the cursor; PageUp, PageDown, Home, End",
    "Enter            all fields of what the cursor is on; of a trade its signed",
    "                 messages, decoded and checked, and the journals' rows",
    "/                filter: rows that hold every word you type; Enter keeps it,",
    "                 Escape takes it away",
    "space            pause: the screen stands still, and nothing is lost by it",
    "e                events: with or without those that only repeat a status",
    "r                ask the gateway anew what is true now",
    "?                this help",
    "q                quit",
    "",
    "Energies are kWh, prices c/kWh, amounts c, times ms. Times are of your zone;",
    "in a replay of recorded days they are the market's, with their day.",
    "rivals: devices that bid. exposed, in play: in promises without an answer; open bids are secret.",
    "due: sold, and not delivered yet. unpaid: trades that the chain has not paid.",
    "age: of a message as it arrived; reply: from a bid to its answer.",
    "GAP: events are missing from there on. The gateway's REST has those that",
    "came from journals; status of a moment that is past is nowhere.",
)


class Styled(NamedTuple):
    """A part of a line."""

    text: str
    tone: Tone = ""
    look: Look = ""


Drawn: TypeAlias = list[Styled]
"""One line, in exactly the screen's width."""


@dataclass(slots=True)
class Link:
    """How the connection to the gateway is."""

    name: str
    state: Literal["connecting", "live", "lost"] = "connecting"
    why: str = ""
    retry_at_s: float = 0.0
    heard_s: float | None = None
    """When the gateway last proved that it holds nothing newer, monotonic; None: never."""

    def told(self, now_s: float) -> tuple[str, Tone]:
        """State and age of the data in words."""
        age = None if self.heard_s is None else now_s - self.heard_s
        old = "no data yet" if age is None else f"data {span(age)} old"
        if self.state == "live":
            stale = age is None or age > STALE_S
            return f"live, {old}", "warn" if stale else "good"
        if self.state == "connecting":
            return f"connecting, {old}", "warn"
        return f"LOST, {old}, again in {span(self.retry_at_s - now_s)}", "bad"


@dataclass(slots=True)
class View:
    """What the user looks at."""

    link: Link
    zone: tzinfo | None = None
    """None: this machine's."""
    known: Known = field(default_factory=Known)
    tab: int = 0
    words: str = ""
    """The filter."""
    paused: Known | None = None
    cursors: dict[int, str] = field(default_factory=dict)
    """By tab: the key of the row under the cursor; none: the first."""
    note: str = ""
    """What the last key did, or the gateway refused."""

    @property
    def shown(self) -> Known:
        """What is drawn: the market, or as it was at the pause."""
        return self.paused or self.known

    @property
    def table(self) -> Tab:
        """The tab that is shown."""
        return TABS[self.tab]

    def rows(self) -> list[Row]:
        """Its rows, filtered."""
        return rows_of(self.table, self.shown, self.zone, self.words.split())

    def at(self, rows: list[Row]) -> int:
        """Where the cursor is; it stays on its thing, or at the top."""
        key = self.cursors.get(self.tab)
        return next((index for index, row in enumerate(rows) if row.key == key), 0)

    def move(self, by: int) -> None:
        """Move the cursor, within the table. At the top it stays at the top, whatever comes in there."""
        rows = self.rows()
        if not rows:
            return
        to = min(max(self.at(rows) + by, 0), len(rows) - 1)
        if to == 0:
            self.cursors.pop(self.tab, None)
        else:
            self.cursors[self.tab] = rows[to].key

    def chosen(self) -> Row | None:
        """The row under the cursor."""
        rows = self.rows()
        return rows[self.at(rows)] if rows else None

    def turn(self, to: int) -> None:
        """Show another table."""
        self.tab, self.note = to % len(TABS), ""

    def pause(self) -> None:
        """Stand still, or go on."""
        self.paused = self.known.frozen() if self.paused is None else None


def draw(view: View, *, now_s: float, width: int, height: int) -> list[Drawn]:
    """The whole screen: `height` lines of `width` cells."""
    if width < LEAST_WIDTH or height <= CHROME:
        lines: list[Drawn] = [[Styled(fit("too small: 80x24 is enough", width), "warn")]]
    else:
        rows = view.rows()
        lines = [
            _heading(view, now_s, width),
            _tabs(view, width),
            *_table(view, rows, width, height - CHROME + 1),
            _totals(view, rows, width),
            [Styled(fit(KEYS, width), "quiet")],
        ]
    blank: Drawn = [Styled(" " * width)]
    return (lines + [blank] * height)[:height]


def _heading(view: View, now_s: float, width: int) -> Drawn:
    state, tone = view.link.told(now_s)
    known = view.shown
    market = f"  market {moment(known.newest_us, known.market_us, view.zone)}" if in_replay(known) else ""
    left = f"ETP {clean(view.link.name)}{market}"
    return [
        Styled(fit(left, width - len(state) - 1) + " ", look="bold"),
        Styled(fit(state, min(len(state), width)), tone),
    ]


def _tabs(view: View, width: int) -> Drawn:
    parts: Drawn = []
    for index, tab in enumerate(TABS):
        parts.append(Styled(f" {index + 1} {tab.name} ", look="tab" if index == view.tab else ""))
    used = sum(len(part.text) for part in parts)
    if used > width:  # narrower than 80: the chosen one alone
        return [Styled(fit(f" {view.tab + 1} {view.table.name} (1-6) ", width), look="tab")]
    return [*parts, Styled(" " * (width - used))]


def widths(columns: tuple[Column, ...], width: int) -> list[int]:
    """The columns' widths on a screen: the flexible one takes what is left."""
    fixed = sum(column.width for column in columns) + len(columns) - 1
    return [column.width or max(width - fixed, 1) for column in columns]


def _joined(cells: tuple[str, ...], columns: tuple[Column, ...], sizes: list[int], width: int) -> str:
    parts = (fit(cell, size, column.align) for cell, column, size in zip(cells, columns, sizes, strict=True))
    return fit(" ".join(parts), width)


def _table(view: View, rows: list[Row], width: int, height: int) -> list[Drawn]:
    """The heads of the columns and the rows around the cursor: `height` lines."""
    columns = view.table.columns
    sizes = widths(columns, width)
    heads = tuple(column.heading for column in columns)
    lines: list[Drawn] = [[Styled(_joined(heads, columns, sizes, width), look="heading")]]
    room = height - 1
    at = view.at(rows)
    first = max(0, min(at - room // 2, len(rows) - room))
    for index, row in enumerate(rows[first : first + room], first):
        look: Look = "cursor" if index == at else ""
        lines.append([Styled(_joined(row.cells, columns, sizes, width), row.tone, look)])
    if not rows:
        why = f"No row holds {clean(view.words)!a}: press / to change the filter." if view.words else view.table.empty
        lines.append([Styled(fit(why, width), "quiet")])
    return (lines + [[Styled(" " * width)]] * height)[:height]


def _totals(view: View, rows: list[Row], width: int) -> Drawn:
    totals = view.shown.totals
    place = f"{view.at(rows) + 1 if rows else 0}/{len(rows)}"
    if view.words:
        place += f"  filter {clean(view.words)}"
    if view.paused:
        news = view.known.count - view.paused.count
        return [
            Styled(fit(f"PAUSED, {whole(news)} new events; space goes on", width - len(place) - 1) + " ", "warn"),
            Styled(place),
        ]
    if view.note or view.link.state == "lost":
        return [Styled(fit(clean(view.note or view.link.why), width - len(place) - 1) + " ", "warn"), Styled(place)]
    settled = f", settled {whole(totals.settled)}" if totals.settled else ""
    gaps = f", gaps {view.shown.gaps}" if view.shown.gaps else ""
    sums = f"trades {whole(totals.trades)}{settled}, {kwh(totals.energy_wh)} kWh, {cents(totals.paid_micro)} c{gaps}"
    left = max(width - len(place) - 1, 0)
    return [Styled(fit(sums, left) + " "), Styled(fit(place, width - left - 1))]


def page(title: str, lines: list[Line], *, top: int, width: int, height: int) -> list[Drawn]:
    """A page of text over the whole screen: details or help, from line `top` on."""
    folded = fold(lines, width)
    room = height - 2
    shown = folded[top : top + room]
    head = fit(clean(title), width)
    more = f"line {min(top + 1, len(folded))}-{min(top + room, len(folded))} of {len(folded)}"
    foot = fit(f"Escape back  up, down, PageUp, PageDown  {more}", width)
    blank: Drawn = [Styled(" " * width)]
    body: list[Drawn] = [[Styled(fit(line.text, width), line.tone)] for line in shown]
    return [[Styled(head, look="tab")], *(body + [blank] * room)[:room], [Styled(foot, "quiet")]]


def fold(lines: list[Line], width: int) -> list[Line]:
    """Lines no longer than the screen is wide: nothing of a value is cut off."""
    size = max(width, 10)
    folded: list[Line] = []
    for line in lines:
        first, *rest = chop_cells(line.text, size) or [""]
        parts = [first, *(f"    {part}" for part in chop_cells("".join(rest), size - 4))] if rest else [first]
        folded += [Line(part, line.tone) for part in parts]
    return folded


def last_top(lines: list[Line], *, width: int, height: int) -> int:
    """The furthest that a page can be scrolled."""
    return max(0, len(fold(lines, width)) - (height - 2))


def as_text(view: View, *, width: int) -> str:
    """All tables but that of events, one after the other, as plain text: what is true now, for a pipe."""
    parts = []
    for index, tab in enumerate(TABS[:-1]):
        view.turn(index)
        rows = view.rows()
        sizes = widths(tab.columns, width)
        heads = _joined(tuple(column.heading for column in tab.columns), tab.columns, sizes, width)
        lines = [_joined(row.cells, tab.columns, sizes, width) for row in rows] or [tab.empty]
        parts.append("\n".join(line.rstrip() for line in (tab.name.upper(), heads, *lines)))
    at = full_time(view.known.newest_us, view.zone) if view.known.newest_us else "nothing heard"
    return "\n\n".join([*parts, f"newest: {at}"])
