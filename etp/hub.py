"""What becomes of connections: who gets a place, what an event asks of the core, which session speaks for a device, what its end means.

The daemons and the simulator do it here, so that none has rules of its own. It knows neither sockets nor what is traded.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, TypeVar

from etp.clock import Now
from etp.codes import TerminateCode
from etp.discovery import Event as PeerEvent
from etp.effects import Effect
from etp.frame import Frame
from etp.profile import Received
from etp.roster import Roster
from etp.session import Bound, Event, Session, Violation
from etp.units import DeviceId

SAID_GOODBYE: Final = "the peer said goodbye"
"""Why a session is closed that its core has done with."""


class Core(Protocol):
    """What desk and buyer have in common."""

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now, *, fresh: bool) -> list[Effect]:
        """A valid frame of a device."""

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """No session speaks for a device any more."""

    def blamed(self, violation: Violation, now: Now) -> list[Effect]:
        """A message against the rules."""


class End(Protocol):
    """A connection as its node has it."""

    def finish(self, reason: str, now: Now) -> None:
        """Close it once what is queued is out."""


E = TypeVar("E", bound=End)
Opens: TypeAlias = Callable[[DeviceId, Now], list[Effect]]
"""What a core does when a session speaks for a device from now on."""


def admitted(roster: Roster[E], session: Session, address: str, now: Now, *, accepting: bool = True) -> bool:
    """Whether a new connection from an address has a place from now on; else its session says BUSY."""
    if accepting and roster.admit(address):
        return True
    session.farewell(TerminateCode.BUSY, "no place", now)
    return False


def happened(core: Core, roster: Roster[E], opens: Opens, end: E, event: Event, now: Now) -> list[Effect]:  # noqa: PLR0917 - for each frame
    """What an event of a session asks for."""
    if isinstance(event, Received):
        frame = event.frame
        return core.receive(DeviceId(frame.device_id), frame, event.raw, now, fresh=event.fresh)
    if isinstance(event, Bound):
        before = roster.bind(event.device_id, end)
        if before is not None and before is not end:
            before.finish("another session took over", now)
        return opens(event.device_id, now)
    return core.blamed(event, now) if isinstance(event, Violation) else []


def heard(core: Core, event: PeerEvent, now: Now) -> list[Effect]:
    """What an event of discovery asks for: who speaks in another's name is blamed; whom to dial is not the core's to say."""
    return core.blamed(event, now) if isinstance(event, Violation) else []


def lost(core: Core, roster: Roster[E], end: E, peer: DeviceId | None, now: Now) -> list[Effect] | None:
    """What the end of a session asks for; None where nobody spoke on it, or another one speaks for its device by now."""
    if peer is None or not roster.unbind(peer, end):
        return None
    return core.session_lost(peer, now)
