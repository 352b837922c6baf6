"""The instant a core is told: monotonic for deadlines, wall for ids and audit. Never read here, only carried."""

import msgspec

from etp.units import MonotonicS, WallUs


class Now(msgspec.Struct, frozen=True, gc=False):
    """One reading of both clocks of a node."""

    monotonic_s: MonotonicS
    wall_us: WallUs
