"""Cursors: what was given comes back, anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cursor import LONGEST, CursorError, decode, encode

I64 = st.integers(-(2**63), 2**63 - 1)
SCOPES = st.text(max_size=40)


@given(SCOPES, st.lists(I64, max_size=4))
def test_what_was_given_comes_back(scope: str, key: list[int]) -> None:
    """Any list of i64, in letters that a URL leaves alone."""
    text = encode(scope, key)
    assert decode(scope, text, len(key)) == tuple(key)
    assert len(text) <= LONGEST
    assert all(letter.isalnum() or letter in "-_" for letter in text)


@given(SCOPES, st.lists(I64, min_size=1, max_size=3), st.data())
def test_a_changed_one_is_refused(scope: str, key: list[int], data: st.DataObject) -> None:
    """Another letter anywhere, cut, longer, of another list, for another number of columns."""
    text = encode(scope, key)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
    changed = text[:at] + letter + text[at + 1 :]
    for wrong in {changed, text[:at], text + letter, text + "="} - {text}:
        with pytest.raises(CursorError, match="expected the `next_cursor`"):
            decode(scope, wrong, len(key))
    with pytest.raises(CursorError):
        decode(scope + "x", text, len(key))
    with pytest.raises(CursorError):
        decode(scope, text, len(key) + 1)


@pytest.mark.parametrize("text", ["", "!", "ä", "A" * 10_000, "\0", "AAAA", "____", "a b", "%00", "AA\n"])
def test_nonsense_is_refused(text: str) -> None:
    """Without any other error."""
    with pytest.raises(CursorError):
        decode("trades", text, 3)
