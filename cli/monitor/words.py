"""Values as the monitor writes them: with units, in ASCII, in a given width. What comes from nodes is made harmless here.

Only ASCII is drawn by the monitor itself, so that it reads the same on a Linux console, over a serial line and in a
terminal without UTF-8. Times are the viewer's zone's.
"""

import unicodedata
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size

from etp.units import MICRO_PER_CENT, WH_PER_KWH

NOTHING: Final = "-"
UNSEEN: Final = "?"
LONGEST: Final = 2_000
"""Characters of one text from outside that are looked at."""
REPLAY_US: Final = 60_000_000
"""Market time further from the clock than this is a replay's, and is shown instead of it, µs: no clock is off so far."""
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400
TWO_DIGITS_BELOW: Final = 1_000
MILLION: Final = 1_000_000
THOUSAND_MILLION: Final = 1_000_000_000
Align = Literal["left", "right"]


def clean(text: str, longest: int = LONGEST) -> str:
    """A text from outside, harmless: no control or escape, nothing invisible, no mark that climbs onto its neighbours."""
    kept = text[:longest]
    if kept.isascii() and kept.isprintable():
        return kept
    return "".join(character if _is_plain(character) else UNSEEN for character in kept)


def _is_plain(character: str) -> bool:
    # C: control, format (direction marks among them), surrogates; M: marks on other characters; Zl, Zp: line breaks.
    category = unicodedata.category(character)
    return character == " " or category[0] not in "CMZ"


def fit(text: str, width: int, align: Align = "left") -> str:
    """A clean text in exactly so many cells of the terminal; what does not fit ends in `~`."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "~" if width > 0 else ""
    gap = " " * (width - size)
    return gap + text if align == "right" else text + gap


def cents(micro: int | None) -> str:
    """A price in c/kWh, or an amount in c."""
    return NOTHING if micro is None else f"{micro / MICRO_PER_CENT:,.2f}"


def kwh(energy_wh: int | None) -> str:
    """An energy in kWh."""
    return NOTHING if energy_wh is None else f"{energy_wh / WH_PER_KWH:,.2f}"


def brief(value: int | None, per_unit: int) -> str:
    """A price, amount or energy in seven cells at most, whatever it is; the details have all of it."""
    if value is None:
        return NOTHING
    amount = value / per_unit
    size = abs(amount)
    if size < TWO_DIGITS_BELOW:
        return f"{amount:,.2f}"
    if size < MILLION:
        return f"{amount:,.0f}"
    return f"{amount / MILLION:,.1f}M" if size < THOUSAND_MILLION else f"{amount:.1e}"


def whole(number: int | None) -> str:
    """A count."""
    return NOTHING if number is None else f"{number:,}"


def milliseconds(value: float) -> str:
    """A short time."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - four digits are enough


def span(seconds: float) -> str:
    """How long, in the largest fitting unit."""
    seconds = max(0.0, seconds)
    if seconds < 10:  # noqa: PLR2004 - tenths matter below it
        return f"{seconds:.1f} s"
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.0f} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.0f} d"


def is_replay(time_us: int, market_us: int) -> bool:
    """Whether a node's market time is another than the clock's."""
    return abs(time_us - market_us) > REPLAY_US


def moment(time_us: int, market_us: int, zone: tzinfo | None) -> str:
    """When something happened, in 12 cells: the time of day, or in a replay the market's day and minute."""
    if is_replay(time_us, market_us):
        return _stamp(market_us, zone, "%d %b %H:%M")
    return _stamp(time_us, zone, "%H:%M:%S")


def full_time(time_us: int, zone: tzinfo | None) -> str:
    """An instant, whole, with its zone."""
    return _stamp(time_us, zone, "%a %d %b %Y %H:%M:%S.%f %Z").strip()


def _stamp(time_us: int, zone: tzinfo | None, form: str) -> str:
    # A node may say any number; only a year that has four digits is a date.
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
        return at.astimezone(zone).strftime(form)
    except (OverflowError, ValueError, OSError):
        return f"{time_us} us"
