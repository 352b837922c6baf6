"""The tables of docs/mutants.md: the invariants, the hostile peers and the planted bugs, from the code and the patches."""

import sys
from typing import Final

from sim.byzantine import HOSTILE
from sim.invariants import INVARIANTS
from tools.generated import ROOT, main, table
from tools.mutants import mutants

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
    rows = [(f"`{each.name}`", each.title, " or ".join(f"`{name}`" for name in each.invariants)) for each in mutants()]
    return table(("mutant", "the bug", "found by"), rows)


PARTS: Final = {"invariants": invariants, "peers": peers, "planted": planted}


if __name__ == "__main__":
    sys.exit(main(PAGE, PARTS, sys.argv[1:]))
