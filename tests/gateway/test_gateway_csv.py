"""CSV: what Python's own reader reads back, and nothing that a spreadsheet runs."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.csv import cell, line, lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), TEXTS)


def read_back(text: str) -> list[list[str]]:
    """As a reader that follows the rules sees it."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_row_is_one_row_of_as_many_cells(values: list[object]) -> None:
    """Whatever is in the texts: commas, quotes, ends of lines."""
    (found,) = read_back(line(["x", *values]))
    assert len(found) == len(values) + 1
    for value, text in zip(values, found[1:], strict=True):
        if isinstance(value, str):
            assert text in (value, f"'{value}")
        elif value is None:
            assert text == ""
        else:
            assert text == str(value).lower()


@given(TEXTS)
def test_no_text_begins_as_a_formula(text: str) -> None:
    """Not even behind blanks; a text that is none stays as it is."""
    ((_, found),) = read_back(line(["x", text]))
    assert not found.lstrip().startswith(("=", "+", "-", "@"))
    if text and text[0].isalnum():
        assert found == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-5", "'-5"),
        ("+5", "'+5"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        (" =1", "' =1"),
        ('a"b', '"a""b"'),
        ("a,b", '"a,b"'),
        ("<script>", "<script>"),
        (-5, "-5"),
        (True, "true"),
        (None, ""),
    ],
)
def test_cells(value: object, text: str) -> None:
    """Byte for byte; numbers are ours, and stay numbers."""
    assert cell(value) == text


def test_lines_are_utf8() -> None:
    """With the ends that RFC 4180 asks for."""
    assert lines([["µ", 1], [None, "x"]]) == b"\xc2\xb5,1\r\n,x\r\n"
