"""The two clocks of this machine, read together."""

import time

from etp.clock import Now
from etp.units import MonotonicS, WallUs


def system_now() -> Now:
    """Now, by the monotonic and the wall clock."""
    return Now(MonotonicS(time.monotonic()), WallUs(time.time_ns() // 1000))
