"""The send queue of one session: by priority, bounded, stamped when a frame leaves.

Frames that promise nothing get their id when they leave; a droppable one past its deadline is dropped and counted
(design §3). Envelopes that are already stamped (promises, stored answers) leave byte for byte as they are.
"""

import heapq
from typing import Final

from etp.clock import Now
from etp.codes import MessageType
from etp.effects import Envelope
from etp.profile import Profile
from etp.timing import TIMING
from etp.units import DeviceId, MonotonicS

LAST: Final = 255
"""Behind every priority of the table: a farewell never overtakes the answers before it."""


PRIORITIES: Final = tuple(TIMING[kind].priority for kind in MessageType)
"""By the number of the type."""


class QueueFull(Exception):
    """A frame that may not be dropped found no room: the peer does not read."""


class SendQueue:
    """Envelopes in order of priority, then of arrival."""

    def __init__(self, profile: Profile, maximum: int) -> None:
        self.to: DeviceId | None = None
        """Who reads it, once that is known."""
        self._profile = profile
        self._maximum = maximum
        self._heap: list[tuple[int, int, MonotonicS, Envelope]] = []
        self._arrival = 0
        self.dropped = 0
        """Droppable frames that were late or found no room."""

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, envelope: Envelope, now: Now, *, last: bool = False) -> None:
        """Queue a frame; `last` puts a farewell behind all that waits. Raises QueueFull where nothing may be dropped."""
        kind = envelope.frame.message_type
        if len(self._heap) >= self._maximum and not self._make_room():
            if TIMING[kind].droppable:  # type: ignore[index]  # IntEnum keys hash as their ints
                self.dropped += 1
                return
            raise QueueFull
        self._arrival += 1
        heapq.heappush(self._heap, (LAST if last else PRIORITIES[kind], self._arrival, now.monotonic_s, envelope))

    def _make_room(self) -> bool:
        droppable = [entry for entry in self._heap if TIMING[entry[3].frame.message_type].droppable]  # type: ignore[index]
        if not droppable:
            return False
        self._heap.remove(max(droppable))
        heapq.heapify(self._heap)
        self.dropped += 1
        return True

    def pop_all(self, now: Now) -> list[bytes]:
        """The frames to send now, in order, each stamped on its way out."""
        heap, frames = self._heap, []
        while heap:
            _, _, queued_s, envelope = heapq.heappop(heap)
            raw = envelope.raw
            if raw is None:
                timing = TIMING[envelope.frame.message_type]  # type: ignore[index]
                if timing.droppable and (now.monotonic_s - queued_s) * 1000 > timing.max_delay_ms:
                    self.dropped += 1
                    continue
                raw = self._profile.stamp(envelope, self.to, now)
            frames.append(raw)
        return frames
