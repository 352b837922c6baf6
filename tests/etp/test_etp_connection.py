"""Connections on a loop: what a turn brings is written once, at its end, and nothing waits longer than its socket is full."""

import asyncio
from typing import cast

import pytest

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.effects import Envelope
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.io.clock import system_now
from etp.io.tcp import Connection
from etp.limits import Limits
from etp.profile import Plain, Received
from etp.session import PREFIX, Event, Session
from etp.units import DeviceId, MicroPerKwh, Wh

BESS, FIRST, SECOND = DeviceId(101), DeviceId(500), DeviceId(501)


class Wire(asyncio.Transport):
    """A socket that writes down what is done to it."""

    def __init__(self, name: str, acts: list[str]) -> None:
        super().__init__()
        self.name, self.acts, self.closing = name, acts, False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Any."""

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Frames that leave."""
        size = len(PREFIX) + len(encode(Frame(0)))
        kinds = [decode(data[at + len(PREFIX) : at + size]).message_type for at in range(0, len(data), size)]
        self.acts.append(f"wrote {self.name} " + " ".join(MessageType(kind).name for kind in kinds))

    def close(self) -> None:
        """The end, once all is written."""
        self.closing = True
        self.acts.append(f"closed {self.name}")

    abort = close


class Counter:
    """An owner that refuses each Bid, and tells the first device of it too."""

    def __init__(self, acts: list[str]) -> None:
        self.acts = acts
        self.connections: list[Connection] = []

    def connect(self, name: str) -> Connection:
        """A new connection."""
        made = Connection(self, system_now)
        made.connection_made(Wire(name, self.acts))
        self.connections.append(made)
        return made

    def connected(self, _: Connection, now: Now) -> Session:
        """Everybody has a place."""
        return Session(Role.BESS, BESS, Plain(Ids()), Limits(), now)

    def happened(self, connection: Connection, event: Event, now: Now) -> None:
        """A Bid is answered."""
        if isinstance(event, Received) and event.frame.message_type == MessageType.BID:
            self.acts.append(f"heard {event.frame.device_id}")
            for told in dict.fromkeys((connection, self.connections[0])):
                told.send(Envelope(messages.reject(BESS, RejectCode.OUTBID)), now)

    def turned(self) -> None:
        """Nothing to do."""

    def disconnected(self, connection: Connection, now: Now) -> None:
        """Nothing to do."""


def bid(device: DeviceId) -> bytes:
    """A Bid as it comes over TCP."""
    frame = messages.stamped(messages.bid(device, price=MicroPerKwh(130_000), energy=Wh(100)), 1)
    return PREFIX + encode(frame)


@pytest.fixture
async def counter() -> Counter:
    """Two connections, nothing said yet."""
    made = Counter([])
    made.connect("first")
    made.connect("second")
    return made


async def round_of_the_loop() -> None:
    """What was put off until the end of this round is done."""
    await asyncio.sleep(0)


async def test_a_turn_is_answered_in_one_write(counter: Counter) -> None:
    """Two bids at once: both are heard, then both answers leave together, and no later round writes again."""
    counter.connections[0].data_received(bid(FIRST) + bid(FIRST))
    assert counter.acts == ["heard 500", "heard 500", "wrote first REJECT REJECT"]
    await round_of_the_loop()
    assert len(counter.acts) == 3


async def test_others_are_told_before_the_next_round(counter: Counter) -> None:
    """Two bids of a second device: it is answered at its turn's end, the first told of both in one write of this round."""
    counter.connections[1].data_received(bid(SECOND) + bid(SECOND))
    assert counter.acts == ["heard 501", "heard 501", "wrote second REJECT REJECT"]
    await round_of_the_loop()
    assert counter.acts[3:] == ["wrote first REJECT REJECT"]
    await round_of_the_loop()
    assert len(counter.acts) == 4


async def test_the_sessions_own_answer_is_written(counter: Counter) -> None:
    """A Bid against the rules is refused by the session itself, and no owner asks for that to be sent."""
    connection = counter.connections[0]
    broken = bid(FIRST)[:-8] + b"\xff" * 8
    connection.data_received(broken)
    assert counter.acts == ["wrote first REJECT"]


async def test_a_full_socket_is_written_when_it_has_room(counter: Counter) -> None:
    """While the socket is full answers wait in the queue; they leave together once there is room."""
    connection = counter.connections[0]
    connection.pause_writing()
    connection.data_received(bid(FIRST) + bid(FIRST))
    await round_of_the_loop()
    assert counter.acts == ["heard 500", "heard 500"]
    connection.resume_writing()
    assert counter.acts[2:] == ["wrote first REJECT REJECT"]


async def test_a_farewell_leaves_at_once_with_what_waits(counter: Counter) -> None:
    """Who stops need not wait for another round: what waits goes first, then the Terminate, then the end."""
    connection = counter.connections[0]
    connection.send(Envelope(messages.reject(BESS, RejectCode.OUTBID)), system_now())
    connection.farewell(TerminateCode.SHUTTING_DOWN, "shutting down", system_now())
    assert counter.acts == ["wrote first REJECT TERMINATE", "closed first"]
    await round_of_the_loop()
    assert len(counter.acts) == 2
    assert cast("Wire", connection.transport).is_closing()
