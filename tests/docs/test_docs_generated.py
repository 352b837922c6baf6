"""docs/protocol.md and docs/states.md are what the code draws, and their examples are the vectors."""

import json
import re
import struct
from pathlib import Path

import pytest

from etp import state
from etp.codes import FailureCode, Health, MessageType, RejectCode, TerminateCode
from tools import diagrams, generated, operations_tables, protocol_tables

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "docs" / "protocol.md"
STATES = ROOT / "docs" / "states.md"
PAGES = [
    (PROTOCOL, protocol_tables.PARTS),
    (STATES, diagrams.PARTS),
    (operations_tables.PAGE, operations_tables.PARTS),
]


@pytest.mark.parametrize(("page", "parts"), PAGES, ids=["protocol", "states", "operations"])
def test_a_page_is_what_the_code_draws(page: Path, parts: generated.Parts) -> None:
    """Nothing is stale (`make docs` draws it anew), nothing is left out, nothing stands there twice."""
    text = page.read_text()
    assert generated.filled(text, parts) == text
    assert sorted(generated.names_of(text)) == sorted(parts)


def test_check_tells_a_stale_page_and_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--check: status 1 and the page as it was; without it the page is mended."""
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    page, text = tmp_path / "page.md", PROTOCOL.read_text()
    page.write_text(text.replace("| 84", "| 85").replace("`ttl` | u8", "`ttl` | u16"))
    stale = page.read_text()
    assert stale != text
    assert protocol_tables.draw(page, ("--check",)) == 1
    assert page.read_text() == stale
    assert protocol_tables.draw(page) == 0
    assert page.read_text() == text


def documented_frames() -> list[bytes]:
    """The frames of the examples, put together from their second column."""
    blocks = re.findall(r"```text\n(.*?)```", PROTOCOL.read_text(), re.DOTALL)
    return [bytes.fromhex("".join(line.split()[1] for line in block.splitlines())) for block in blocks]


def test_the_examples_are_the_vectors() -> None:
    """Read by a parser of its own, made from the page's layout alone: each field of each vector, and every type."""
    layout = re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \| (u8|u64|f64) \|", PROTOCOL.read_text(), re.MULTILINE)
    form = "<" + "".join({"u8": "B", "u64": "Q", "f64": "d"}[kind] for *_, kind in layout)
    assert (form, struct.calcsize(form)) == ("<BQQBdddddBdBdd", 84)
    vectors = json.loads((ROOT / "tests" / "vectors" / "frames.json").read_text())["frames"]
    frames = documented_frames()
    assert [raw.hex() for raw in frames] == [vector["hex"] for vector in vectors]
    for raw, vector in zip(frames, vectors, strict=True):
        values = dict(zip((name for _, _, name, _ in layout), struct.unpack(form, raw), strict=True))
        assert {name: value for name, value in values.items() if value} == {
            name: value for name, value in vector.items() if name in values and value
        }
    assert {raw[0] for raw in frames} == set(MessageType)


def test_every_code_is_explained() -> None:
    """Each name of the code tables occurs in the prose as well."""
    prose = re.sub(r"<!-- generated: .*?<!-- end -->", "", PROTOCOL.read_text(), flags=re.DOTALL)
    for code in (*RejectCode, *TerminateCode, *FailureCode, *Health):
        assert f"`{code.name}`" in prose


def test_names_in_prose_are_rows_of_the_tables() -> None:
    """A `name_with_underscores` in the text is a field, a time or a limit."""
    text = PROTOCOL.read_text()
    prose = re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", prose))
    assert named
    assert named <= set(re.findall(r"^\| (?:\d+ \| \d+ \| )?`(\w+)` \|", text, re.MULTILINE))


def test_a_changed_table_changes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new way out of RESERVED would be seen in the diagram, its table, and the test above."""
    monkeypatch.setitem(state.LOT, state.LotState.VOID, frozenset({state.LotState.OPEN}))
    assert "    void --> open\n" in diagrams.PARTS["lot"]()
    assert generated.filled(STATES.read_text(), diagrams.PARTS) != STATES.read_text()
