"""Frames with one thing wrong each, as bytes: the judge names it, and a session answers, drops and ends as it must."""

import json
from pathlib import Path

import pytest

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.errors import FrameLengthError
from etp.frame import FRAME_SIZE, decode, encode, invalid
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain, Received
from etp.session import PREFIX, Bound, Closed, Session, Violation
from etp.units import DeviceId, MonotonicS, WallUs

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "invalid.json").read_text())["frames"]
FRAMES = {v["name"]: (bytes.fromhex(v["hex"]), v["reason"]) for v in VECTORS}
WHOLE = {name: vector for name, vector in FRAMES.items() if len(vector[0]) == FRAME_SIZE}
OTHER = {name: vector for name, vector in FRAMES.items() if name not in WHOLE}
US = 1_700_000_000_000_000
NOW = Now(MonotonicS(1.0), WallUs(US))
BUYER = DeviceId(500)
QUERY = messages.stamped(messages.query(BUYER), US)


def session(role: Role = Role.BESS) -> Session:
    return Session(role, DeviceId(101), Plain(Ids()), Limits(), NOW)


def heard(core: Session, *raws: bytes) -> list[object]:
    core.receive_data(b"".join(PREFIX + raw for raw in raws), NOW)
    return list(core.events(NOW))


def answers(core: Session) -> list[tuple[int, int]]:
    data = core.data_to_send(NOW)
    frames = [decode(data[at + 4 : at + 88]) for at in range(0, len(data), 88)]
    assert [invalid(frame) for frame in frames] == [None] * len(frames)
    return [(frame.message_type, frame.termination_code) for frame in frames]


def test_every_kind_of_mistake_is_there():
    """Each double with NaN, both infinities and both ends; every unknown type; ttl, health, quanta and lengths."""
    assert {f"type-{number}" for number in range(10, 256)} < set(FRAMES)
    doubles = [name for name, value in QUERY._asdict().items() if isinstance(value, float)]
    assert len(doubles) == 8
    for kind in ("bid", "query"):
        for double in doubles:
            for wrong in ("nan", "inf", "minus-inf", "negative", "just-below-0", "just-above"):
                assert f"{kind}-{double}-{wrong}" in WHOLE
    assert {"length-0", "length-83", "length-85", "length-212"} < set(OTHER)


@pytest.mark.parametrize("name", WHOLE)
def test_the_judge_names_what_is_wrong(name):
    """`invalid` says field, value and what would pass."""
    raw, reason = WHOLE[name]
    assert invalid(decode(raw)) == reason


@pytest.mark.parametrize("name", OTHER)
def test_another_length_is_no_frame(name):
    """`decode` says both lengths."""
    raw, reason = OTHER[name]
    with pytest.raises(FrameLengthError) as caught:
        decode(raw)
    assert str(caught.value) == reason


@pytest.mark.parametrize("name", WHOLE)
def test_a_battery_refuses_the_bid_and_drops_the_rest(name):
    """A Bid gets Reject(INVALID), anything else nothing; it is counted, not delivered, and binds nobody."""
    raw, reason = WHOLE[name]
    core = session()
    assert heard(core, raw) == [Violation("invalid", reason)]
    is_bid = raw[0] == MessageType.BID
    assert answers(core) == ([(MessageType.REJECT, RejectCode.INVALID)] if is_bid else [])
    assert core.peer_id is None
    assert [type(event) for event in heard(core, encode(QUERY))] == [Bound, Received]


def test_an_aggregator_answers_none_of_them():
    """It is sent no Bids: whatever is wrong is dropped and counted."""
    for name, (raw, reason) in WHOLE.items():
        core = session(Role.AGGREGATOR)
        assert heard(core, raw) == [Violation("invalid", reason)], name
        assert answers(core) == [], name


@pytest.mark.parametrize("role", Role)
def test_the_third_ends_it(role):
    """Two are borne, whatever they are and whatever good comes between; the third gets PROTOCOL_ERROR, the fourth nothing."""
    raws = [raw for raw, _ in WHOLE.values()]
    good = encode(QUERY if role is Role.BESS else QUERY._replace(message_type=MessageType.RESPONSE, device_id=101))
    for first, second, third in zip(raws, raws[7:], raws[19:], strict=False):
        core = session(role)
        assert [type(event) for event in heard(core, first, good, second)] == [Violation, Bound, Received, Violation]
        answers(core)
        assert [type(event) for event in heard(core, third, good)] == [Violation, Violation, Closed]
        assert answers(core)[-1] == (MessageType.TERMINATE, TerminateCode.PROTOCOL_ERROR)
        assert heard(core, first) == []


@pytest.mark.parametrize("name", OTHER)
def test_a_wrong_length_ends_it_at_once(name):
    """The prefix alone is enough: PROTOCOL_ERROR, and nothing of the frame is kept."""
    raw, _ = OTHER[name]
    core = session()
    core.receive_data(len(raw).to_bytes(4, "little"), NOW)
    assert [type(event) for event in core.events(NOW)] == [Violation, Closed]
    core.receive_data(raw, NOW)
    assert list(core.events(NOW)) == []
    assert answers(core) == [(MessageType.TERMINATE, TerminateCode.PROTOCOL_ERROR)]
