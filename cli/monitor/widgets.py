"""The monitor's widgets: a screen of drawn lines, a page over it, a line for the filter. They draw what they are given."""

from collections.abc import Callable
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from cli.monitor.details import Line
from cli.monitor.screen import Drawn, Styled, last_top, page

LOOKS: Final = {"bold": "bold", "cursor": "reverse", "tab": "bold reverse", "heading": "underline", "": ""}
TONES: Final = {"good": "green", "warn": "yellow", "bad": "bold red", "quiet": "dim", "": ""}
COLOURLESS: Final = {"good": "", "warn": "", "bad": "bold", "quiet": "", "": ""}
"""With NO_COLOR: nothing is said by colour alone, so nothing is lost."""


def to_text(lines: list[Drawn], tones: dict[str, str]) -> Text:
    """Drawn lines as rich takes them. No markup is read: a `[red]` in a name is four letters in brackets."""
    text = Text(no_wrap=True, end="")
    for number, line in enumerate(lines):
        for part in line:
            text.append(part.text, style=_style(part, tones))
        if number < len(lines) - 1:
            text.append("\n")
    return text


def _style(part: Styled, tones: dict[str, str]) -> str:
    return f"{LOOKS[part.look]} {tones[part.tone]}".strip()


class Lines(Widget):
    """A whole screen of text."""

    DEFAULT_CSS = "Lines { width: 100%; height: 1fr; background: ansi_default; color: ansi_default; }"

    def __init__(self, drawn: Callable[[int, int], list[Drawn]], tones: dict[str, str]) -> None:
        super().__init__()
        self._drawn, self._tones = drawn, tones

    def render(self) -> Text:
        """The lines of now."""
        return to_text(self._drawn(self.size.width, self.size.height), self._tones)


class Page(Screen[None]):
    """Details or help, over everything; scrolled by keys."""

    CSS = "Page { background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,enter,question_mark", "dismiss", "back"),
        ("down,j", "by(1)", "down"),
        ("up,k", "by(-1)", "up"),
        ("pagedown,space", "pages(1)", "page down"),
        ("pageup", "pages(-1)", "page up"),
        ("home", "by(-1000000)", "top"),
        ("end", "by(1000000)", "end"),
    ]

    def __init__(self, title: str, lines: list[Line], tones: dict[str, str]) -> None:
        super().__init__()
        self._title, self.lines, self._tones = title, lines, tones
        self._top = 0

    def compose(self) -> ComposeResult:
        """One widget."""
        yield Lines(self._draw, self._tones)

    def _draw(self, width: int, height: int) -> list[Drawn]:
        self._top = min(self._top, last_top(self.lines, width=width, height=height))
        return page(self._title, self.lines, top=self._top, width=width, height=height)

    def add(self, lines: list[Line]) -> None:
        """More lines, at the end."""
        self.lines = [*self.lines, *lines]
        self.query_one(Lines).refresh()

    def action_by(self, lines: int) -> None:
        """Scroll."""
        furthest = last_top(self.lines, width=self.size.width, height=self.size.height)
        self._top = min(max(self._top + lines, 0), furthest)
        self.query_one(Lines).refresh()

    def action_pages(self, pages: int) -> None:
        """Scroll by screens."""
        self.action_by(pages * max(self.size.height - 3, 1))


class Filter(Input):
    """One line for the filter; Escape takes it away."""

    DEFAULT_CSS = """
    Filter, Filter:focus { display: none; dock: bottom; height: 1; border: none; padding: 0; }
    Filter.shown { display: block; }
    Filter, Filter:focus, Filter > .input--placeholder { background: ansi_default; color: ansi_default; }
    Filter > .input--cursor { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.unfilter", "no filter")]
