"""Lists as CSV (RFC 4180): a heading, one line a row; what a spreadsheet would run as a formula is made a text.

Texts come from nodes, which are not ours. A cell that begins with `=`, `+`, `-`, `@`, a tab or a line's end is taken for a formula by
spreadsheets (CWE-1236): such a text gets an apostrophe before it. Numbers are ours and stay as they are, negative ones too.
"""

from collections.abc import Iterable, Sequence
from typing import Final

FORMULA: Final = frozenset("=+-@\t\r\n")
"""What a cell that is a formula, or hides one, begins with."""
_QUOTED: Final = frozenset('",\r\n')


def cell(value: object) -> str:
    """One value: null is empty, booleans as in JSON, texts guarded and quoted where need be."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    return str(value)


def _text(value: str) -> str:
    if value.lstrip()[:1] in FORMULA or value[:1] in FORMULA:
        value = f"'{value}"
    if _QUOTED.isdisjoint(value):
        return value
    return '"' + value.replace('"', '""') + '"'


def line(values: Iterable[object]) -> str:
    """A row, with its end."""
    return ",".join(map(cell, values)) + "\r\n"


def lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows, encoded."""
    return "".join(map(line, rows)).encode()
