"""What goes on the wire for a frame, and what is read from it: the one place where profiles differ (design §5).

`plain` is here: bare 84-byte frames, for loopback and for existing implementations. `etp.signed` is the other one.
"""

from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from etp.clock import Now
from etp.codes import RejectCode
from etp.effects import Envelope
from etp.frame import FRAME_SIZE, LAYOUT, Frame, decode, invalid
from etp.ids import Ids
from etp.registry import Registry
from etp.units import DeviceId


class Received(msgspec.Struct, frozen=True, gc=False):
    """A valid frame, and the bytes that said so."""

    frame: Frame
    raw: bytes
    fresh: bool = True
    """False: its counter came already or is too old to tell. Then it is at most a repetition of something known."""


BUDGET: Final = "budget"
"""Not judged at all, for want of time: no offence of its sender's."""
AGAIN: Final = "again"
"""An honest repetition that comes before anything new can: no offence either."""
EARLY: Final = "early"
"""A datagram said before the first thing that we heard of its sender: UDP may be late, and nobody can tell. Not acted on."""


class Refused(NamedTuple):
    """Bytes that count for nothing; `kind` is one short word for the counter."""

    kind: str
    reason: str
    frame: Frame | None
    code: RejectCode
    raw: bytes


Reading: TypeAlias = Received | Refused


class Profile(Protocol):
    """Frames in, bytes out; bytes in, frames out."""

    @property
    def name(self) -> str:
        """`plain` or `signed`."""

    @property
    def size(self) -> int:
        """Bytes of one message: what a datagram holds, and the one legal length prefix on TCP."""

    @property
    def ids(self) -> Ids:
        """Where message and lot ids come from."""

    def stamp(self, envelope: Envelope, to: DeviceId | None, now: Now) -> bytes:
        """Give an envelope its bytes, once, with an id of now; `to`: the device that reads it, None: not known yet."""

    def read(self, raw: bytes, peer: DeviceId | None, now: Now) -> Reading:
        """Judge `size` bytes; `peer`: the device that the connection belongs to, None: not known yet."""


class DatagramProfile(Profile, Protocol):
    """The same for UDP, where a datagram is for one node or for the group."""

    def stamp_to_group(self, envelope: Envelope, now: Now) -> bytes:
        """Give an envelope its bytes, for everybody."""

    def read_datagram(self, raw: bytes, now: Now) -> Reading:
        """Judge a datagram of `size` bytes."""


class Plain:
    """Bare frames: whoever says it is device 101 is device 101."""

    name: Final = "plain"
    size: Final = FRAME_SIZE

    def __init__(self, ids: Ids, registry: Registry | None = None) -> None:
        """With a registry only its members that are registered for `plain` count: nobody is talked down to it."""
        self.ids, self.registry = ids, registry

    def stamp(self, envelope: Envelope, to: DeviceId | None, now: Now) -> bytes:  # noqa: ARG002 - nobody is addressed
        """See Profile."""
        kind, _, *rest = envelope.frame
        envelope.raw = LAYOUT.pack(kind, self.ids.next(now.wall_us), *rest)
        return envelope.raw

    def read(self, raw: bytes, peer: DeviceId | None, now: Now) -> Reading:
        """See Profile."""
        frame = decode(raw)
        reason = invalid(frame)
        if reason is not None:
            return Refused("invalid", reason, frame, RejectCode.INVALID, raw)
        if peer is not None and frame.device_id != peer:
            why = "another device_id than the session's"
            return Refused("device", why, frame, RejectCode.NOT_AUTHORISED, raw)
        if self.registry is not None:
            member = self.registry.get(frame.device_id)
            if member is None or member.profile != self.name or member.is_revoked(now.wall_us):
                why = f"device {frame.device_id} is not registered for plain frames"
                return Refused("profile", why, frame, RejectCode.NOT_AUTHORISED, raw)
        return Received(frame, raw)

    def stamp_to_group(self, envelope: Envelope, now: Now) -> bytes:
        """See DatagramProfile."""
        return self.stamp(envelope, None, now)

    def read_datagram(self, raw: bytes, now: Now) -> Reading:
        """See DatagramProfile."""
        return self.read(raw, None, now)
