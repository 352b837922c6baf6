"""A module is pure unless it lives in `io/` or is `__main__`: no sockets, clock, files, environment or logging."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("etp", "market", "runtime", "contracts", "bess_node", "aggregator_node", "gateway", "sim", "lab")
IMPURE = frozenset({"asyncio", "asyncio_dgram", "fcntl", "logging", "os", "resource", "select", "selectors", "signal"}) | {
    "socket", "sqlite3", "ssl", "structlog", "subprocess", "threading", "time", "uvloop"
}  # fmt: skip


def is_shell(path: Path) -> bool:
    """Whether a module may do I/O."""
    return "io" in path.parts or path.name == "__main__.py"


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def faults(root: Path) -> list[str]:
    """Every impure import of a pure module."""
    modules = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    return [
        f"{path.relative_to(root)}:{line}: a pure module imports {module}"
        for path in modules
        if not is_shell(path.relative_to(root))
        for line, module in imported(path)
        if module.split(".")[0] in IMPURE or ".io" in f".{module}"
    ]


if __name__ == "__main__":
    found = faults(Path(__file__).resolve().parents[1])
    sys.stdout.write("\n".join(found) + "\n" if found else "pure modules are pure\n")
    sys.exit(bool(found))
