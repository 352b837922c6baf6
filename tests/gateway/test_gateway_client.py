"""The stream's client as a core, joined to the real hub in memory: nothing is lost, nothing comes twice, a gap is said."""

import json
from typing import Any

import msgspec
import pytest

from etp.units import MonotonicS
from gateway.client import Connected, Happened, Missed, Notice, Refused, StreamClient, StreamProtocolError, World
from gateway.events import Event, Resumed, StreamError, Subscribe, Welcome
from gateway.hub import Client, Send
from gateway.limits import Limits
from tests.streaming import Gateway, battery, forged, leads, opened, paid, sold


class Pipe:
    """One connection between a client's core and a hub, carried by hand; time passes by a second with each turn."""

    def __init__(self, gateway: Gateway, core: StreamClient) -> None:
        self.gateway, self.core = gateway, core
        self.now_s = 100.0
        self.heard: list[Notice] = []
        self.client: Client | None = None

    def connect(self) -> None:
        """Open a connection, and let each side have its turn."""
        self.core.connected()
        self.client, greeting = self.gateway.hub.joined(MonotonicS(self.now_s))
        self.heard += self.core.receive(greeting)
        self.turn()

    def cut(self) -> None:
        """The connection breaks: what was on its way is gone."""
        assert self.client is not None
        self.gateway.hub.left(self.client)
        self.client = None

    def turn(self, *, lose: bool = False) -> None:
        """What the client says reaches the hub; it ticks; what it says reaches the client, unless the connection broke."""
        assert self.client is not None
        hub = self.gateway.hub
        self.now_s += 1.1
        actions: list[Any] = []
        for message in self.core.data_to_send():
            actions += hub.heard(self.client, message, MonotonicS(self.now_s))
        actions += hub.tick(MonotonicS(self.now_s), lambda _: 0, self.gateway.snapshot)
        for action in actions:
            assert isinstance(action, Send)
            if self.client in action.to and not lose:
                self.heard += self.core.receive(action.text)

    def take(self) -> list[Notice]:
        """What was heard since the last look."""
        heard, self.heard = self.heard, []
        return heard

    def events(self) -> list[Event]:
        """What happened since the last look, in order."""
        return [event for notice in self.take() if isinstance(notice, Happened) for event in notice.events]


def joined(subscription: Subscribe | None = None, limits: Limits | None = None) -> Pipe:
    pipe = Pipe(Gateway(limits), StreamClient(subscription))
    pipe.connect()
    return pipe


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


def encoded(*elements: msgspec.Struct) -> bytes:
    return msgspec.json.encode(elements)


def test_the_first_connection_tells_what_is_true_now() -> None:
    """Welcome, then a Snapshot, without being told of a gap."""
    gateway = Gateway()
    gateway.batteries = [battery(101)]
    pipe = Pipe(gateway, StreamClient())
    assert not pipe.core.in_step
    pipe.connect()
    connected, world = pipe.take()
    assert connected == Connected("e1", resuming=False)
    assert isinstance(world, World)
    assert world.snapshot.batteries == [battery(101)]
    assert pipe.core.in_step


def test_events_follow_in_order() -> None:
    """With their numbers."""
    pipe = joined()
    pipe.take()
    pipe.gateway.publish(opened(), leads(), *sold())
    pipe.turn()
    events = pipe.events()
    assert seqs(events) == [1, 2, 3, 4, 5, 6]
    assert names(events)[:2] == ["AuctionStarted", "LotUpdated"]
    assert pipe.core.seq == 6


def test_a_broken_connection_is_resumed_without_loss_and_without_doubles() -> None:
    """What was published while it was cut, and what was on its way, comes once."""
    pipe = joined()
    pipe.gateway.publish(opened())
    pipe.turn()
    pipe.gateway.publish(leads())
    pipe.turn(lose=True)
    pipe.take()
    pipe.cut()
    pipe.gateway.publish(*sold())
    pipe.connect()
    notices = pipe.take()
    assert notices[0] == Connected("e1", resuming=True)
    assert not any(isinstance(notice, Missed | World) for notice in notices)
    pipe.heard = notices
    assert seqs(pipe.events()) == [2, 3, 4, 5, 6]
    pipe.gateway.publish(paid())
    pipe.turn()
    assert seqs(pipe.events()) == [7]


@pytest.mark.parametrize("lost_turns", range(4))
def test_a_connection_may_break_anywhere(lost_turns: int) -> None:
    """Again and again, at every turn: the events are those published, each once."""
    pipe = joined()
    pipe.take()
    found: list[int] = []
    for lot in range(20):
        pipe.gateway.publish(opened(lot=7000 + lot), *sold(lot=7000 + lot))
        pipe.turn(lose=lot % 4 == lost_turns)
        found += seqs(pipe.events())
        if lot % 4 == lost_turns:
            pipe.cut()
            pipe.connect()
            pipe.turn()
            found += seqs(pipe.events())
    assert found == list(range(1, 101))


def test_a_durable_event_under_a_new_number_is_known_again() -> None:
    """Its `id` says so; telemetry has none and always counts."""
    pipe = joined()
    pipe.take()
    pipe.gateway.publish(forged(), battery())
    pipe.gateway.publish(forged(), battery())
    pipe.turn()
    assert names(pipe.events()) == ["SecurityEvent", "BESSNodeStatus", "BESSNodeStatus"]


def test_only_so_many_ids_are_remembered() -> None:
    """The oldest is forgotten first, so memory is bounded."""
    core = StreamClient(remembered=3)
    pipe = Pipe(Gateway(), core)
    pipe.connect()
    for number in range(5):
        pipe.gateway.publish(forged(what=str(number)))
    pipe.turn()
    assert list(core._ids) == ["101-sec-2", "101-sec-3", "101-sec-4"]


def test_a_ring_that_has_turned_is_a_gap_and_the_state_of_now() -> None:
    """Never silent: Missed, then the Snapshot that says the rest."""
    pipe = joined(limits=Limits(ring=4))
    pipe.gateway.publish(opened())
    pipe.turn()
    pipe.take()
    pipe.cut()
    for lot in range(5):
        pipe.gateway.publish(*sold(lot=8000 + lot))
        pipe.gateway.hub.tick(MonotonicS(500.0), lambda _: 0, pipe.gateway.snapshot)
    pipe.gateway.batteries = [battery(stored_wh=1)]
    pipe.connect()
    pipe.turn()
    kinds = [type(notice) for notice in pipe.take()]
    assert kinds == [Connected, Missed, World]
    assert pipe.core.seq == pipe.gateway.hub.seq


def test_another_store_is_a_gap() -> None:
    """Its numbers begin anew, lower than those before, and still count."""
    pipe = joined()
    pipe.gateway.publish(*(opened(lot=lot) for lot in range(1, 50)))
    pipe.turn()
    pipe.take()
    pipe.cut()
    pipe.gateway = Gateway(epoch="e2")
    pipe.connect()
    pipe.gateway.publish(leads())
    pipe.turn()
    connected, missed, world, happened = pipe.take()
    assert connected == Connected("e2", resuming=False)
    assert isinstance(missed, Missed)
    assert missed.durable
    assert isinstance(world, World)
    assert isinstance(happened, Happened)
    assert seqs(list(happened.events)) == [1]


def test_a_restarted_gateway_may_have_lost_telemetry() -> None:
    """That is said, as what it is, and the state is asked for anew."""
    core = StreamClient()
    core.connected()
    core.receive(encoded(Welcome("e1", 0, [])))
    core.data_to_send()
    core._awaits_world = False
    core.seq = 9
    core.connected()
    core.receive(encoded(Welcome("e1", 50, [])))
    assert [json.loads(message)["verb"] for message in core.data_to_send()] == ["resume"]
    (missed,) = core.receive(encoded(Resumed("e1", 9, gap=False, telemetry_gap=True)))
    assert isinstance(missed, Missed)
    assert not missed.durable
    assert [json.loads(message)["verb"] for message in core.data_to_send()] == ["request_snapshot"]


def test_a_client_that_lagged_is_told() -> None:
    """A Snapshot with `gap` in the middle of a connection."""
    pipe = joined()
    pipe.take()
    pipe.gateway.publish(opened())
    pipe.heard += pipe.core.receive(pipe.gateway.snapshot(gap=True))
    missed, world = pipe.take()
    assert isinstance(missed, Missed)
    assert isinstance(world, World)
    pipe.turn()
    assert pipe.events() == []  # it is in the Snapshot already


def test_a_store_that_is_renewed_in_between_counts_anew() -> None:
    """The Snapshot's epoch is another, and lower numbers are new."""
    pipe = joined()
    pipe.gateway.publish(*(opened(lot=lot) for lot in range(1, 50)))
    pipe.turn()
    pipe.take()
    other = Gateway(epoch="e9")
    pipe.core.receive(other.snapshot(gap=True))
    assert pipe.core.epoch == "e9"
    pipe.heard += pipe.core.receive(encoded(msgspec.structs.replace(leads(), epoch="e9", seq=4)))
    assert seqs(pipe.events()) == [4]


def test_a_subscription_holds_over_a_resume() -> None:
    """Types that were not asked for are not handed over, whatever a resume brings."""
    pipe = joined(Subscribe(types=["TradeConfirmed"], nodes=["101"]))
    pipe.cut()
    pipe.gateway.publish(*sold(), *sold(102))
    pipe.connect()
    pipe.turn()
    pipe.gateway.publish(opened(), *sold(lot=7002), *sold(102, lot=7002))
    pipe.turn()
    events = pipe.events()
    assert names(events) == ["TradeConfirmed", "TradeConfirmed"]
    assert {event.node for event in events} == {"101"}


def test_a_type_of_a_newer_gateway_is_passed_over() -> None:
    """And counted; what is known beside it counts."""
    pipe = joined()
    pipe.take()
    known = msgspec.json.decode(encoded(msgspec.structs.replace(opened(), seq=1)))
    message = json.dumps([{"type": "Tomorrow", "seq": 1, "much": [1]}, *known])
    (happened,) = pipe.core.receive(message)
    assert isinstance(happened, Happened)
    assert names(list(happened.events)) == ["AuctionStarted"]
    assert pipe.core.unknown == 1


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        b"\xff\xfe",
        "{}",
        "[1]",
        '[{"type": "Welcome"}]',
        '[{"type": "AuctionStarted", "node": "x"}]',
        '[{"type": 7}]',
        "[" * 10_000,
        '[{"type": "Resumed", "epoch": "e", "seq": 1, "gap": false, "telemetry_gap": false}]',
    ],
)
def test_what_is_no_stream_is_refused(message: str | bytes) -> None:
    """By one error that says what was expected; never by another exception."""
    core = StreamClient()
    core.connected()
    with pytest.raises(StreamProtocolError):
        core.receive(message)


def test_a_message_cut_anywhere_is_refused() -> None:
    """At every byte."""
    whole = encoded(Welcome("e1", 0, ["AuctionStarted"]))
    for size in range(len(whole)):
        core = StreamClient()
        with pytest.raises(StreamProtocolError):
            core.receive(whole[:size])


def test_a_refused_verb_is_said() -> None:
    """In the gateway's words."""
    core = StreamClient()
    core.connected()
    core.receive(encoded(Welcome("e1", 0, [])))
    assert core.receive(encoded(StreamError("no such type"))) == [Refused("no such type")]
