"""What a copy of a decision would need is not there: the rules, what cores ask before they decide, and what only cores make.

A condition on plain numbers that a core shows would not be found.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sim

ROOT = Path(sim.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
RULES = (
    "market", "bess_node", "aggregator_node", "contracts", "etp.messages", "etp.state", "etp.codes", "etp.timing", "etp.repetition",
    "etp.frame", "etp.evidence", "etp.offset", "etp.clock_check", "etp.window", "etp.bucket", "etp.pace", "etp.queue", "etp.agenda",
)  # fmt: skip
"""Packages and modules that decide, and say what was decided: of these a part of the simulator may import the names in `MAY`."""
WORDS = {"MessageType", "TerminateCode", "FRAME_SIZE", "decode"}
"""For who reads what was said."""
MAY = {
    "": {
        "Desk", "Buyer", "Settlement", "Dials", "DIAL_TIMEOUT_S", "Purse", "BessSettings", "AggregatorSettings",
        "build", "rules_of", "portfolio_of", "battery_spec", "pricing_of", "Context", "supply_wh",
        "Role", "FailureCode", "SessionState", "Timing",
    },  # cores and who builds them; who one is, what a fault reports, whether a socket is open; what is handed to a core
    "invariants": WORDS | {
        "Desk", "Buyer", "Settlement", "Dials", "Store", "Forecast", "Optimal", "Intelligent", "Exposure", "Settler",
        "REPLIES_KEPT", "MAX_CELLS", "MOST", "MAX_BATTERIES", "LOTS_KEPT", "CONFIRMS_REMEMBERED", "HOURS", "CONFIRMS_WAITING",
        "MAX_UNSETTLED", "MAX_BUYERS", "KEPT_SAMPLES", "PER_DAY", "PER_S", "UNPROVEN",
        "RejectCode", "Frame", "OFFSETS", "LOT", "LotState", "KIND", "OUTBOX", "OutboxState", "Trade", "TradeStatus",
    },  # whose tables are measured, and how much these may hold; tables of moves, which are the design's
    "byzantine": WORDS | {"messages", "Offer", "Role", "FailureCode", "RejectCode", "Frame", "encode"},  # liars say what no core says
    "io": WORDS | {
        "Buyer", "Settlement", "BessSettings",
        "contracts", "outbox", "Entry", "Purse", "SETTLE_WINDOW_S", "Settler", "SettlerLimits", "SettlerEffect", "Ask", "Signer",
        "signed", "Requirements", "Standings", "Exposure", "Owed", "ESCROW_S", "TIMEOUT_S", "Rpc", "Accounts", "Answer",
        "GetAccounts", "GetGenesis", "Request", "RpcFailure", "Instructions", "Parties", "Terms", "precompile", "load_interface",
        "Address", "PROGRAM_ID", "Place", "token_account", "Escrow", "Market", "Participant", "ParticipantRole", "Trade",
        "TradeStatus", "Bank", "Pace", "Chain", "Landed", "Faucet", "Record", "Segment", "Transaction", "Node", "last_valid",
        "Commitment", "HASH_TAG", "MAX_AGE", "read_token_account", "Versions",
    },  # the settler and what it asks; the program's accounts and instructions; the chain that the demo runs, too
}  # fmt: skip
"""By part of the simulator: the top, and its packages."""
MADE_BY_CORES = {"Row", "BidRow", "Frame", "Bid", "Commit", "Send", "Write", "RecordBid", "Settle", "Lookup", "Refused"}
QUESTIONS = {
    "wanted", "room", "reliability", "refuses", "stops_lots", "against", "is_late", "is_from_future", "price", "close", "bid",
    "next_affair", "expose", "release", "buy",
}  # fmt: skip
"""What cores ask, or do to their books, when they decide: called by nobody else."""
HARMLESS = {"self.writer.bid", "self.close", "self.station.close"}
"""A line for the ring of bids; an end of a connection, and of a socket."""
FAREWELLS = {"farewell", "finish"}
"""Why a session ends is not for the simulator to say."""


def part_of(path: Path) -> str:
    """Which part of the simulator a module belongs to."""
    first, *rest = path.relative_to(ROOT).parts
    return first if rest else ""


def decisions(tree: ast.AST, part: str = "") -> Iterator[str]:
    """What a module imports of the rules, asks as only cores ask, or makes that only cores make."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_rule(alias.name) and alias.name not in MAY[part])
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                rule = _is_rule(node.module or "") or _is_rule(f"{node.module}.{alias.name}")
                if rule and alias.name not in MAY[part]:
                    yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call):
            yield from _called(node, part)


def _is_rule(module: str) -> bool:
    return any(module == rule or module.startswith(f"{rule}.") for rule in RULES)


def _called(node: ast.Call, part: str) -> Iterator[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    made = name in MADE_BY_CORES
    words = name in FAREWELLS and any(isinstance(each, ast.Constant) for each in node.args)
    asked = part == "" and name in QUESTIONS and ast.unparse(node.func) not in HARMLESS
    if made or words or asked:
        yield f"{ast.unparse(node.func)}(...) in line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_decision_is_made_here(path: Path) -> None:
    """Neither rules nor messages nor rows nor the questions that cores ask."""
    assert list(decisions(ast.parse(path.read_text()), part_of(path))) == []


@pytest.mark.parametrize("part", ["", "invariants", "byzantine", "io"])
@pytest.mark.parametrize(
    "text",
    [
        "from market.english import English",
        "import market.english",
        "from bess_node.bids import Bids",
        "from bess_node import promises",
        "from aggregator_node.strategy import price",
        "from contracts.judging import Judging",
        "from etp.timing import is_late",
        "from etp import repetition",
        "rows = [Row('promise', 1, 'reserved', 0, {})]",
        "before.finish('another session took over', now)",
        "import etp.effects as e\ne.Commit((), 'x', (), 0)",
    ],
)
def test_a_copy_is_found(text: str, part: str) -> None:
    """What such a copy would look like, wherever it is."""
    assert list(decisions(ast.parse(text), part))


@pytest.mark.parametrize(
    "text",
    [
        "from etp import messages\nimport etp.messages",
        "wanted = buyer.core.portfolio.wanted(offered, most)",
        "if purse.room(live) < cost: pass",
        "verdict = mechanism.bid(state, bid, now)",
    ],
)
def test_a_copy_is_found_where_nodes_are_run(text: str) -> None:
    """What a part that says or judges may do, but not what carries cores from one turn to the next."""
    assert list(decisions(ast.parse(text)))
