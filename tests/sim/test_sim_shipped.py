"""The simulator decides nothing: it neither knows the market's rules nor writes a message or a row of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sim

ROOT = Path(sim.__file__).parent
APART = ("invariants", "io", "byzantine")
"""What judges by reading rows; processes and the chain; and liars, who say what no core says."""
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in APART]
RULES = ("market", "etp.messages", "etp.state", "etp.codes", "etp.timing", "etp.repetition", "etp.frame")
"""Where decisions, messages and states are: nothing of it may be imported, but for the names in `MAY`."""
MAY = {"Role", "FailureCode", "SessionState", "Timing"}
"""Who one is; what a fault reports; whether a socket is open; and what is handed to a core."""
MADE_BY_CORES = {"Row", "BidRow", "Frame", "Bid", "Commit", "Send", "Write", "RecordBid", "Settle", "Lookup", "Refused"}
FAREWELLS = {"farewell", "finish"}
"""Why a session ends is not for the simulator to say."""


def decisions(tree: ast.AST) -> Iterator[str]:
    """What a module imports of the rules, or makes that only cores make."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(RULES))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(RULES):
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name not in MAY)
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            words = name in FAREWELLS and any(isinstance(each, ast.Constant) for each in node.args)
            if name in MADE_BY_CORES or words:
                yield f"{name}(...) in line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_decision_is_made_here(path: Path) -> None:
    """Neither rules nor messages nor rows."""
    assert list(decisions(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "from market.english import English",
        "from etp import messages\nimport etp.messages",
        "from etp.timing import is_late",
        "rows = [Row('promise', 1, 'reserved', 0, {})]",
        "before.finish('another session took over', now)",
        "import etp.effects as e\ne.Commit((), 'x', (), 0)",
    ],
)
def test_a_copy_is_found(text: str) -> None:
    """What such a copy would look like."""
    assert list(decisions(ast.parse(text)))
