"""A peer's clock against ours, from a Query and the Response to it, as NTP estimates it (RFC 5905 §8).

Our two instants are t1 (asked) and t4 (answered); the Response's `message_id` is t2 = t3, the peer's stamp as it left.
What the peer waits before it answers (0–50 ms on UDP) is not known here and not subtracted: it makes the path look
asymmetric, by at most half of itself, and keeping the sample with the shortest round trip keeps the least of it.
"""

from collections import deque
from typing import Final, NamedTuple

from etp.clock import Now
from etp.codes import MessageType
from etp.frame import Frame
from etp.timing import carries_time

KEPT_SAMPLES: Final = 8
"""The clock filter's depth in RFC 5905 §10: 80 s of Queries, in which a quartz drifts by less than 10 ms."""
MAX_ROUND_TRIP_MS: Final = 1000.0
"""An answer after a longer time is taken for one to something else."""


class OffsetSample(NamedTuple):
    """One measurement. The truth lies within half of `rtt_ms` of `offset_ms`."""

    offset_ms: float
    """The peer's clock minus ours, ms."""
    rtt_ms: float
    """From asking to the answer on our monotonic clock, the peer's own delay included, ms."""


class OffsetEstimator:
    """The clock offset of one peer: of its last samples, the one with the shortest round trip."""

    __slots__ = ("_asked", "_samples", "best")

    def __init__(self) -> None:
        self._asked: tuple[Now, int] | None = None
        self._samples: deque[OffsetSample] = deque(maxlen=KEPT_SAMPLES)
        self.best: OffsetSample | None = None
        """The kept sample with the shortest round trip, the newest among equals; None before the first."""

    def asked(self, now: Now, *, message_id: int = 0) -> None:
        """A Query with this id left. The earliest unanswered one counts: a wrong pairing then only looks slow."""
        if self._asked is None or _elapsed_ms(self._asked[0], now) > MAX_ROUND_TRIP_MS:
            self._asked = (now, message_id)

    def answered(self, frame: Frame, now: Now) -> OffsetSample | None:
        """A valid frame came. None: no Response, nothing asked, too late, or its id is no stamp of the peer's clock."""
        if frame.message_type != MessageType.RESPONSE or self._asked is None:
            return None
        (at, message_id), self._asked = self._asked, None
        rtt_ms = _elapsed_ms(at, now)
        # Older implementations number at random or echo the asker's id: neither says what time it is there.
        if rtt_ms > MAX_ROUND_TRIP_MS or not carries_time(frame.message_id) or frame.message_id == message_id:
            return None
        # Half way by the monotonic clock, so that a step of our wall clock in between does no harm.
        sample = OffsetSample((frame.message_id - now.wall_us) / 1000 + rtt_ms / 2, rtt_ms)
        self._samples.append(sample)
        self.best = min(reversed(self._samples), key=lambda sample: sample.rtt_ms)  # asked for with each bid
        return sample

    @property
    def offset_ms(self) -> float | None:
        """The peer's clock minus ours, ms; None before the first sample."""
        return None if self.best is None else self.best.offset_ms


def _elapsed_ms(since: Now, now: Now) -> float:
    return max(0.0, (now.monotonic_s - since.monotonic_s) * 1000)
