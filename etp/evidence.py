"""What shows that somebody broke the rules: kept as it came, so that others can verify it; bounded, so that a flood fills no disk."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from etp.clock import Now
from etp.effects import Count, Effect, Row, Scalar, Write
from etp.record import NO_LOT
from etp.units import DeviceId, MonotonicS

UNPROVEN: Final = frozenset({"stranger", "role", "profile", "revoked", "recipient", "replay", "signature", "device"})
"""Kinds that a message without a right signature can be of; of all others its sender is known to have said it."""
PER_S: Final = 10
"""Rows of evidence in any second, of what is proven and of what is not each."""
PER_DAY: Final = 5_000
"""Rows of evidence in any day, likewise: 5,000 × 0.6 kB. Beyond it they are only counted."""
_DAY_S: Final = 86_400.0


class Evidence:
    """One node's collection. Everything is counted, as `security` by kind; what fits is kept."""

    def __init__(self) -> None:
        self._quotas = {proven: [_Quota(1.0, PER_S), _Quota(_DAY_S, PER_DAY)] for proven in (True, False)}

    def keep(self, device_id: DeviceId, kind: str, messages: Sequence[bytes], now: Now) -> list[Effect]:
        """Count, and keep what a device said; `messages` are frames or records as they came.

        What anybody can say in another's name has a quota of its own, so that it never takes the place of proof.
        """
        counted = Count("security", kind)
        if not all(quota.take(now.monotonic_s) for quota in self._quotas[kind not in UNPROVEN]):
            return [counted]
        body: dict[str, Scalar] = {"bidder": device_id, "what": kind}
        body |= {f"frame_{index}": raw.hex() for index, raw in enumerate(messages)}
        subject = sha256(b"".join(messages)).hexdigest()[:16]
        return [counted, Write((Row("security", NO_LOT, kind, now.wall_us, body, subject),))]


class _Quota:
    """At most `most` in each stretch of `length_s`."""

    def __init__(self, length_s: float, most: int) -> None:
        self._length_s, self._most = length_s, most
        self._until_s, self._count = 0.0, 0

    def take(self, now_s: MonotonicS) -> bool:
        if now_s >= self._until_s:
            self._until_s, self._count = now_s + self._length_s, 0
        self._count += 1
        return self._count <= self._most
