"""Whether a node's own clock is behind what it has said: then it does not trade, and says so."""

from etp.clock import Now
from etp.effects import Effect, Log, Scalar
from etp.ids import Ids


def clock_warning(ids: Ids, now: Now) -> list[Effect]:
    """A line for the operator where the clock went back; empty where it is right."""
    behind_s = ids.behind_s(now.wall_us)
    if behind_s is None:
        return []
    said: dict[str, Scalar | float] = {
        "behind_s": round(behind_s, 3),
        "right": "set this machine's clock; no trades until it has caught up",
    }
    return [Log("clock_is_behind", said, "error")]
