"""The tables of docs/mutants.md: the invariants, the hostile peers and the planted bugs, from the code and the patches."""

import sys
from typing import Final

from sim.byzantine import HOSTILE
from sim.invariants import INVARIANTS
from tools.generated import ROOT, main, table
from tools.mutants import MUTANTS, REGRESSIONS, Mutant, mutants

PAGE: Final = ROOT / "docs" / "mutants.md"


def invariants() -> str:
    """Name and meaning of each."""
    return table(
        ("invariant", "what must hold, and where that is decided"), ((f"`{k}`", v) for k, v in INVARIANTS.items())
    )


def peers() -> str:
    """Name, role and doing of each hostile peer."""
    rows = [
        (f"`{name}`", role.value, " ".join((made.__doc__ or "").split()))
        for role, named in HOSTILE.items()
        for name, made in named.items()
    ]
    return table(("peer", "role", "what it does"), rows)


def planted() -> str:
    """Name of each bug, what it does, and what finds it."""
    return table(("mutant", "the bug", "found by"), map(_row, mutants(MUTANTS)))


def regressions() -> str:
    """The same of bugs that were once ours; each is found in the market that is kept of it."""
    return table(("regression", "the bug", "found by"), map(_row, mutants(REGRESSIONS)))


def _row(planted: Mutant) -> tuple[str, str, str]:
    return f"`{planted.name}`", planted.title, " or ".join(f"`{name}`" for name in planted.invariants)


PARTS: Final = {"invariants": invariants, "peers": peers, "planted": planted, "regressions": regressions}


if __name__ == "__main__":
    sys.exit(main(PAGE, PARTS, sys.argv[1:]))
