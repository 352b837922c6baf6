"""The generator's own honesty: latency counts from the schedule, wrong answers are no answers."""

import socket
import time
from collections.abc import Iterator

import pytest

from benches.bidders import Bidder
from benches.job import Job
from benches.pool import Line, Pool
from benches.wire import PACKET, EtpWire, JsonWire, Stamps, Wire
from etp import messages
from etp.codes import MessageType, RejectCode
from etp.frame import Frame, decode, encode, invalid
from etp.session import PREFIX

STALL_S = 0.2


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A generator's socket and its server's."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def reject(bid: Frame, code: RejectCode) -> bytes:
    """The answer to a bid."""
    return PREFIX + encode(messages.stamped(messages.reject(101, code, refused=bid.bid_price), bid.message_id))


def bidder(ours: socket.socket) -> Bidder:
    """One connection, one bid a millisecond, ten of them."""
    stamps = Stamps()
    pool: Pool[Wire] = Pool([Line(ours, EtpWire(500, stamps))])
    return Bidder(pool, Job("", 0, 1, 0.01, rate=1000), stamps)


def read(sock: socket.socket, count: int) -> list[Frame]:
    """So many packets."""
    data = b""
    while len(data) < count * PACKET:
        data += sock.recv(65_536)
    return [decode(data[at + 4 : at + PACKET]) for at in range(0, len(data), PACKET)]


def test_a_stall_is_charged_to_every_bid_that_was_due(ends: tuple[socket.socket, socket.socket]) -> None:
    """A bid that leaves late is measured from when it was due, not from when it left."""
    ours, theirs = ends
    load = bidder(ours)
    start_s = time.monotonic() - STALL_S  # all ten bids were due before the first one leaves
    for number in range(10):
        load.due(start_s + number / 1000)
    for bid in read(theirs, 10):
        theirs.sendall(reject(bid, RejectCode.OUTBID))
    while load.waiting:
        load.pool.wait(1.0, load.received)
    assert len(load.outcome.answer_us) == 10
    assert min(load.outcome.answer_us) >= (STALL_S - 0.01) * 1e6


def test_too_many_is_no_answer(ends: tuple[socket.socket, socket.socket]) -> None:
    """It is counted under its name, and has no latency."""
    ours, theirs = ends
    load = bidder(ours)
    load.due(time.monotonic())
    theirs.sendall(reject(*read(theirs, 1), RejectCode.TOO_MANY))
    while load.waiting:
        load.pool.wait(1.0, load.received)
    assert load.outcome.answer_us == []
    assert load.outcome.wrong == {"REJECT(9)": 1}


def test_what_is_unanswered_is_said(ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is not waited for in vain for ever, and each bid is missed."""
    monkeypatch.setattr("benches.bidders.GRACE_S", 0.05)
    outcome = bidder(ends[0]).run(time.monotonic())
    assert (outcome.sent, outcome.unanswered) == (10, 10)


def test_prebuilt_bids_are_legal() -> None:
    """What the generator patches together is what the codec would write."""
    wire = EtpWire(500, Stamps())
    frame = decode(bytes(wire.bid(130_001, 1_700_000_000_000_001))[4:])
    assert invalid(frame) is None
    assert frame.message_type == MessageType.BID
    assert (frame.message_id, frame.device_id, frame.bid_price) == (1_700_000_000_000_001, 500, 13.0001)


def test_answers_come_whole_or_in_pieces() -> None:
    """Both wires' readers give the same answers whatever pieces their bytes come in."""
    bid = messages.stamped(messages.bid(500, price=130_000, energy=100), 1_700_000_000_000_000)
    etp = reject(bid, RejectCode.OUTBID) * 3
    body = (
        b'{"message_type":6,"message_id":1,"device_id":1,"ttl":5,"bid_price":13.0,"sale_price":13.1,"energy_total":1}'
    )
    text = (bytes((0x81, 126)) + len(body).to_bytes(2, "big") + body) * 3
    for wire, data in ((EtpWire(500, Stamps()), etp), (JsonWire(500, Stamps()), text)):
        whole = [answer[:2] for answer in wire.answers(data)]
        pieces = [answer[:2] for at in range(len(data)) for answer in wire.answers(data[at : at + 1])]
        assert whole == pieces == [(MessageType.REJECT, 13.0)] * 3
