"""What becomes of connections: places, who speaks for a device, what its end means; and that cores are told of nothing else."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from etp import hub
from etp.clock import Now
from etp.codes import MessageType, Role, TerminateCode
from etp.effects import Count, Effect
from etp.frame import FRAME_SIZE, Frame, decode
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain, Received
from etp.roster import Roster
from etp.session import PREFIX_SIZE, Bound, Closed, Session, Violation
from etp.state import SessionState
from etp.units import DeviceId, MonotonicS, WallUs

NOW = Now(MonotonicS(1.0), WallUs(1_700_000_000_000_000))
BUYER = DeviceId(500)


@dataclass(eq=False)
class End:
    """A connection."""

    ended: list[str] = field(default_factory=list)

    def finish(self, reason: str, now: Now) -> None:  # noqa: ARG002 - as a connection has it
        """It is told to go."""
        self.ended.append(reason)


class Core:
    """Keeps what it is told, and answers by name."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now, *, fresh: bool) -> list[Effect]:  # noqa: ARG002
        """A frame."""
        self.told.append(("receive", device_id, raw, fresh))
        return [Count("received")]

    def opens(self, device_id: DeviceId, now: Now) -> list[Effect]:  # noqa: ARG002
        """A session."""
        self.told.append(("opens", device_id))
        return [Count("opened")]

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:  # noqa: ARG002
        """Its end."""
        self.told.append(("lost", device_id))
        return []

    def blamed(self, violation: Violation, now: Now) -> list[Effect]:  # noqa: ARG002
        """Somebody broke a rule."""
        self.told.append(("blamed", violation.kind))
        return [Count("blamed")]


class Bench:
    """A core, its roster and what happens."""

    def __init__(self, **limits: int) -> None:
        self.core, self.roster = Core(), Roster[End](Limits(**limits))

    def happened(self, end: End, event: Any) -> list[Effect]:
        """One event of a connection."""
        return hub.happened(self.core, self.roster, self.core.opens, end, event, NOW)


def session() -> Session:
    """A battery's, on a connection that has just come."""
    return Session(Role.BESS, DeviceId(101), Plain(Ids(0)), Limits(), NOW)


@pytest.mark.parametrize("accepting", [True, False])
def test_who_finds_no_place_is_told_busy(accepting: bool) -> None:
    """Where all places are taken, or the node is about to end; and nothing is taken for it."""
    bench = Bench(sessions=1, devices=1)
    first, second = session(), session()
    assert hub.admitted(bench.roster, first, "192.0.2.7", NOW, accepting=accepting) == accepting
    assert not hub.admitted(bench.roster, second, "192.0.2.8", NOW, accepting=accepting)
    assert len(bench.roster) == int(accepting)
    assert first.state is (SessionState.AWAITING if accepting else SessionState.CLOSING)
    said = decode(second.data_to_send(NOW)[PREFIX_SIZE : PREFIX_SIZE + FRAME_SIZE])
    assert (said.message_type, said.termination_code) == (MessageType.TERMINATE, TerminateCode.BUSY)


def test_each_event_reaches_the_core_once() -> None:
    """A frame, a beginning and a broken rule; that a session closed is not its to know before its connection is gone."""
    bench, end = Bench(), End()
    frame = Frame(MessageType.QUERY, 1, BUYER, *[0] * (len(Frame._fields) - 3))
    assert bench.happened(end, Bound(BUYER)) == [Count("opened")]
    assert bench.happened(end, Received(frame, b"raw", False)) == [Count("received")]
    assert bench.happened(end, Violation("invalid", "no price")) == [Count("blamed")]
    assert bench.happened(end, Closed("idle")) == []
    assert bench.core.told == [("opens", BUYER), ("receive", BUYER, b"raw", False), ("blamed", "invalid")]


def test_the_last_session_of_a_device_speaks_for_it() -> None:
    """The one before is told to go, and its end changes nothing; bound twice, a session does not end itself."""
    bench, old, new = Bench(), End(), End()
    bench.happened(old, Bound(BUYER))
    bench.happened(new, Bound(BUYER))
    bench.happened(new, Bound(BUYER))
    assert (old.ended, new.ended) == (["another session took over"], [])
    assert hub.lost(bench.core, bench.roster, old, BUYER, NOW) is None
    assert bench.roster.get(BUYER) is new
    assert hub.lost(bench.core, bench.roster, new, BUYER, NOW) == []
    assert hub.lost(bench.core, bench.roster, End(), None, NOW) is None
    assert [each for each in bench.core.told if each[0] == "lost"] == [("lost", BUYER)]


def test_discovery_brings_blame_and_nothing_else() -> None:
    """Whom to dial is not the core's to say."""
    core = Core()
    assert hub.heard(core, Violation("signature", "not its own"), NOW) == [Count("blamed")]
    assert core.told == [("blamed", "signature")]
