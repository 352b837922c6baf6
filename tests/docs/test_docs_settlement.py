"""docs/settlement.md, clusters.md and security.md: their tables are what the code says, and what the code cites is there."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from bess_node.settings import BessSettings
from cli.main import app
from cli.market import DAY_S, Given
from contracts.addresses import PROGRAM_ID
from contracts.interface import INSTRUCTIONS
from contracts.outbox import OutboxState
from etp.record import DOMAIN, HEAD, NETWORK_DOMAIN, TRAILER_SIZE, Trailer
from etp.signed import AT_ONCE, DATAGRAMS_PER_S, FIRSTS_PER_S
from etp.window import WIDTH
from runtime.io.registry_file import LOOK_S
from tools import generated, protocol_tables, settlement_tables

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SETTLEMENT = (DOCS / "settlement.md").read_text()
SECURITY = (DOCS / "security.md").read_text()
CLUSTERS = (DOCS / "clusters.md").read_text()
PAGES = [
    (settlement_tables.SETTLEMENT_PAGE, settlement_tables.SETTLEMENT_PARTS),
    (settlement_tables.CLUSTERS_PAGE, settlement_tables.CLUSTERS_PARTS),
]
CITED = re.compile(r"docs/(settlement|security|clusters)\.md, ([A-Z][A-Za-z ]*?)(?=[):;.\"]|$)", re.MULTILINE)
COMMAND = re.compile(
    r"`?etp ((?:market|escrow|settle|dispute|registry|keygen|decode|export|demo|bess|aggregator)\b[^`|\n]*)"
)


@pytest.mark.parametrize(("page", "parts"), PAGES, ids=["settlement", "clusters"])
def test_a_page_is_what_the_code_draws(page: Path, parts: generated.Parts) -> None:
    """Nothing is stale (`make docs` draws it anew), nothing is left out, nothing stands there twice."""
    text = page.read_text()
    assert generated.filled(text, parts) == text
    assert sorted(generated.names_of(text)) == sorted(parts)


def test_make_docs_draws_these_pages_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--check: status 1 and the page as it was; without it the page is mended."""
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    page = tmp_path / "settlement.md"
    page.write_text(SETTLEMENT.replace("| 84 | 4 | `magic`", "| 85 | 4 | `magic`"))
    stale = page.read_text()
    assert stale != SETTLEMENT
    monkeypatch.setattr(settlement_tables, "SETTLEMENT_PAGE", page)
    monkeypatch.setattr(settlement_tables, "CLUSTERS_PAGE", tmp_path / "clusters.md")
    (tmp_path / "clusters.md").write_text(CLUSTERS)
    assert settlement_tables.draw(("--check",)) == 1
    assert page.read_text() == stale
    assert settlement_tables.draw() == 0
    assert page.read_text() == SETTLEMENT
    assert "settlement_tables.draw" in Path(protocol_tables.__file__).read_text()


def test_the_record_is_read_from_the_page_s_layout_alone() -> None:
    """Offsets follow each other, and behind the constant head the fields are those of the trailer."""
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| `(\w+)` \| (u\d+|bytes) \|", SETTLEMENT, re.MULTILINE)
    form = "<" + "".join(
        {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "bytes": f"{size}s"}[kind] for *_, size, _, kind in rows
    )
    assert struct.calcsize(form) == TRAILER_SIZE == 128
    for at, in_record, size, _, _ in rows:
        assert int(in_record) == int(at) + 84
        assert int(size) > 0
    assert [name for *_, name, _ in rows][4:] == list(Trailer._fields)
    assert struct.unpack(form, HEAD + bytes(120))[:4] == (b"ETPS", 1, 1, 0)


def test_the_domains_are_those_of_the_page() -> None:
    """The fixed strings that are hashed or signed are written as they are."""
    for domain in (DOMAIN, NETWORK_DOMAIN):
        assert f"`{domain.rstrip(bytes(1)).decode()}` and a zero byte" in SETTLEMENT
        assert domain.endswith(bytes(1))


def test_every_instruction_and_state_has_its_row() -> None:
    """What the client calls and what the outbox knows stand in the tables."""
    rows = set(re.findall(r"^\| `(\w+)` \|", SETTLEMENT, re.MULTILINE))
    assert rows >= INSTRUCTIONS
    assert {state.value for state in OutboxState} <= rows
    assert set(settlement_tables.PAID_BY) == {account["name"] for account in settlement_tables.IDL["accounts"]}


def test_the_sums_of_the_text_are_those_of_the_tables() -> None:
    """What a trade costs, and when its rent comes back."""
    fees = sum(
        settlement_tables.SIGNATURES[act] for act in settlement_tables.SIGNATURES if act.value != "record_default"
    )
    assert f"costs {fees * settlement_tables.LAMPORTS_PER_SIGNATURE:,} lamports" in CLUSTERS
    trade = re.search(r"\| Trade \| \d+ \| ([\d,]+) \|", CLUSTERS)
    assert trade is not None
    lamports = int(trade[1].replace(",", ""))
    assert f"keeps {lamports:,} more, {lamports / 1e9:.5f} SOL" in CLUSTERS
    terms = Given(None, None, None, None, None, None).terms(PROGRAM_ID, None)
    days = (terms.settle_window + terms.dispute_window + DAY_S) // DAY_S
    assert f"{days} days with the defaults" in CLUSTERS
    assert f"about {10 * days * lamports / 1e9:.2f} SOL in\nits last {10 * days}" in CLUSTERS
    size = (ROOT / "contracts" / "etp_settlement.so").stat().st_size
    assert f"about {size * settlement_tables.LAMPORTS_PER_BYTE / 1e9:.1f} SOL of rent" in CLUSTERS


def test_the_defaults_of_the_text_are_those_of_the_code() -> None:
    """Defaults of a market, and the bounds of floods."""
    terms = Given(None, None, None, None, None, None).terms(PROGRAM_ID, None)
    assert f"| {terms.settle_window // DAY_S} days |" in SETTLEMENT
    assert f"| {terms.withdraw_delay // DAY_S} days |" in SETTLEMENT
    assert (terms.dispute_window, terms.fee_bps, terms.min_amount) == (DAY_S, 0, 1)
    assert f"| {DATAGRAMS_PER_S} a second, {AT_ONCE:,} at once |" in SECURITY
    assert f"| {FIRSTS_PER_S} a second, {AT_ONCE:,} at once, " in SECURITY
    assert f"{WIDTH:,} counters" in SECURITY
    assert f"looks at the file every {LOOK_S:g} s" in SECURITY


def citations() -> Iterator[tuple[str, str, str]]:
    """(file, page, heading) of every docstring that names a section of these pages."""
    for folder in ("etp", "runtime", "contracts", "bess_node", "aggregator_node", "cli", "tests"):
        for path in (path for ending in ("py", "rs") for path in (ROOT / folder).rglob(f"*.{ending}")):
            text = re.sub(r"\n\s*(?://[/!]? )?", " ", path.read_text())
            yield from ((path.name, page, heading) for page, heading in CITED.findall(text))


def test_every_section_that_the_code_cites_is_there() -> None:
    """A docstring's "docs/settlement.md, Record" leads to a heading of that page."""
    found = list(citations())
    assert {heading for _, _, heading in found} >= {"Record", "Program", "From promise to payment"}
    missing = [
        (name, page, heading)
        for name, page, heading in found
        if not re.search(rf"^#+ {re.escape(heading)}$", (DOCS / f"{page}.md").read_text(), re.MULTILINE)
    ]
    assert missing == []


@pytest.mark.parametrize("page", ["settlement.md", "security.md", "clusters.md", "devnet.md", "../README.md"])
def test_commands_and_options_exist(page: str) -> None:
    """Every `etp …` of the page is a command, and each of its --options is one of that command's."""
    root = typer.main.get_command(app)
    for words in (found.split() for found in COMMAND.findall((DOCS / page).read_text())):
        context = root.make_context("etp", [], resilient_parsing=True)
        command, rest = root.get_command(context, words[0]), words[1:]
        if rest and hasattr(command, "get_command"):
            command, rest = command.get_command(context, rest[0]), rest[1:]
        assert command is not None, words
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
            "--help"
        }
        given = {word.strip("[],;") for word in rest if word.strip("[").startswith("--")}
        assert given <= known, words


def test_settings_that_the_page_names_exist() -> None:
    """--options that stand alone in the text are the battery's."""
    named = set(re.findall(r"`--([\w-]+)`", SETTLEMENT + SECURITY))
    fields = {name.replace("_", "-") for name in BessSettings.model_fields}
    assert {"unsettled", "min-escrow", "min-reputation", "unit-price"} <= named & fields
