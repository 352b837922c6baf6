"""The instant a core is told: monotonic for deadlines, wall for ids and audit. Never read here, only carried."""

from typing import NamedTuple

from etp.units import MonotonicS, WallUs


class Now(NamedTuple):
    """One reading of both clocks of a node."""

    monotonic_s: MonotonicS
    wall_us: WallUs
