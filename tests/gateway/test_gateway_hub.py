"""The stream's core: batches, subscriptions, resuming, and what happens to who does not read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etp.units import MonotonicS
from gateway import events
from gateway.hub import Action, Client, Close, Hub, Send, State
from gateway.limits import Limits, Timing
from tests.gateway.whole import query

NOW = MonotonicS(100.0)
SMALL = Limits(ring=10, waiting_bytes=1_000, chunk_bytes=400, subscribed_nodes=3)


class Room:
    """A hub with clients whose sockets are lists."""

    def __init__(self, limits: Limits = SMALL, seq: int = 0) -> None:
        self.hub = Hub(limits, Timing())
        self.hub.begin("e", seq)
        self.now_s = NOW
        self.waiting: dict[Client, int] = {}
        self.got: dict[Client, list[dict[str, Any]]] = {}
        self.closed: dict[Client, int] = {}
        self.texts: list[bytes] = []

    def join(self, *verbs: dict[str, Any]) -> Client:
        """A client, and what it says at once."""
        client, greeting = self.hub.joined(self.now_s)
        self.waiting[client] = 0
        self.got[client] = json.loads(greeting)
        for verb in verbs:
            self.say(client, verb)
        return client

    def say(self, client: Client, verb: Any) -> None:
        """A verb."""
        self.do(self.hub.heard(client, verb if isinstance(verb, bytes) else json.dumps(verb).encode(), self.now_s))

    def do(self, actions: list[Action]) -> None:
        """Carry out what the hub says."""
        for action in actions:
            if isinstance(action, Close):
                self.closed[action.client] = action.code
                self.hub.left(action.client)
                continue
            assert isinstance(action, Send)
            self.texts.append(action.text)
            for client in action.to:
                self.got[client] += json.loads(action.text)

    def publish(self, *seqs: int, node: int = 101) -> None:
        """Events with these numbers."""
        self.hub.publish([_numbered(seq, node) for seq in seqs])

    def tick(self, after_s: float = 0.1) -> None:
        """A while later."""
        self.now_s = MonotonicS(self.now_s + after_s)
        self.do(self.hub.tick(self.now_s, self.waiting.__getitem__, self._snapshot))

    def _snapshot(self, gap: bool) -> bytes:
        return json.dumps([{"type": "Snapshot", "seq": self.hub.seq, "gap": gap}]).encode()

    def seqs(self, client: Client) -> list[int]:
        """Of the events that a client got."""
        return [one["seq"] for one in self.got[client] if one["type"] == "QuerySent"]

    def types(self, client: Client) -> list[str]:
        """Of all that it got."""
        return [one["type"] for one in self.got[client]]


def _numbered(seq: int, node: int = 101) -> events.Event:
    return events.QuerySent(epoch="e", seq=seq, node=str(node), time_us=seq, market_us=seq, battery=None)


SUBSCRIBE = {"verb": "subscribe"}


def test_nothing_comes_before_a_subscription() -> None:
    """A Welcome alone, with every type there is."""
    room = Room()
    client = room.join()
    room.publish(1)
    room.tick()
    assert room.types(client) == ["Welcome"]
    assert room.got[client][0]["types"] == list(events.EVENTS)


def test_a_batch_is_made_once_for_all_who_want_the_same() -> None:
    """Three clients, two subscriptions, two texts."""
    room = Room()
    everything = [room.join(SUBSCRIBE), room.join({"verb": "subscribe", "types": sorted(events.EVENTS)})]
    one = room.join({"verb": "subscribe", "nodes": ["102"]})
    room.texts.clear()
    room.publish(1, 2)
    room.publish(3, node=102)
    room.tick()
    assert len(room.texts) == 2
    assert [room.seqs(client) for client in (*everything, one)] == [[1, 2, 3], [1, 2, 3], [3]]


def test_what_was_published_before_a_subscription_is_not_sent_after_it() -> None:
    """`Subscribed.seq` is the last event that is not sent: what gathers for the next batch follows."""
    room = Room()
    room.publish(1)
    room.tick()
    room.publish(2)
    client = room.join(SUBSCRIBE)
    assert room.got[client][-1]["seq"] == 1
    room.tick()
    assert room.seqs(client) == [2]


def test_unsubscribing_leaves_out() -> None:
    """Types, nodes, and both null: everything."""
    room = Room()
    client = room.join(SUBSCRIBE, {"verb": "unsubscribe", "nodes": ["102"], "types": ["BidPlaced"]})
    assert room.got[client][-1]["without_nodes"] == ["102"]
    assert "BidPlaced" not in room.got[client][-1]["types"]
    room.publish(1)
    room.publish(2, node=102)
    room.tick()
    room.say(client, {"verb": "unsubscribe"})
    room.publish(3)
    room.tick()
    assert room.seqs(client) == [1]
    assert client.state is State.IDLE


@pytest.mark.parametrize(
    ("verb", "right"),
    [
        (b"", "verb"),
        (b"[]", "verb"),
        (b'{"verb":"sell"}', "subscribe"),
        (b'{"verb":"subscribe","typs":[]}', "typs"),
        (b'{"verb":"subscribe","types":["Bid"]}', "BidPlaced"),
        (b'{"verb":"subscribe","nodes":[101]}', "str"),
        (b'{"verb":"subscribe","nodes":["-1"]}', "nodes"),
        (b'{"verb":"subscribe","nodes":["99999999999999999999"]}', "u64"),
        (b'{"verb":"subscribe","nodes":["1","2","3","4"]}', "at most 3"),
        (b'{"verb":"resume","epoch":"e"}', "seq"),
        (b'{"verb":"resume","epoch":"e","seq":' + b"9" * 5_000 + b"}", "out of range"),
        (b"[" * 10_000, "verb"),
        (b'{"verb":"subscribe","types":' + b"[" * 30_000, "types"),
        (b"\xff\xfe", "verb"),
    ],
)
def test_a_verb_that_is_none_is_answered(verb: bytes, right: str) -> None:
    """Which thing is wrong and what would be right; the client stays, and nothing changes."""
    room = Room()
    client = room.join(SUBSCRIBE, verb)
    answer = room.got[client][-1]
    assert answer["type"] == "Error"
    assert right in answer["reason"]
    assert client.state is State.LIVE


def test_too_many_messages_end_a_connection() -> None:
    """40 at once, 20 a second."""
    room = Room()
    client = room.join(*[SUBSCRIBE] * 41)
    assert room.closed == {client: 1008}
    slow = room.join()
    for _ in range(100):
        room.now_s = MonotonicS(room.now_s + 0.05)
        room.say(slow, SUBSCRIBE)
    assert slow not in room.closed


def test_resuming_brings_back_what_was_missed_in_chunks() -> None:
    """In order, each once, at most a chunk at a time, then live; also while new ones come."""
    room = Room(Limits(ring=100, chunk_bytes=400))
    room.publish(*range(1, 21))
    room.tick()
    client = room.join({"verb": "resume", "epoch": "e", "seq": 5})
    assert (room.got[client][-1]["gap"], room.got[client][-1]["seq"]) == (False, 5)
    room.tick()
    assert 0 < len(room.seqs(client)) < 15
    room.publish(21, 22)
    for _ in range(30):
        room.tick()
    assert room.seqs(client) == list(range(6, 23))
    assert client.state is State.LIVE


@pytest.mark.parametrize(("epoch", "seq"), [("other", 20), ("e", 1), ("e", 10**15)])
def test_a_gap_is_never_silent(epoch: str, seq: int) -> None:
    """Another store, too long ago, or from the future: said, then a Snapshot with gap: true, then what is new."""
    room = Room()
    room.publish(*range(1, 21))
    room.tick()
    client = room.join({"verb": "resume", "epoch": epoch, "seq": seq})
    resumed = room.got[client][-1]
    assert (resumed["gap"], resumed["telemetry_gap"]) == (True, True)
    room.tick()
    room.publish(21)
    room.tick()
    assert room.types(client)[-3:] == ["Resumed", "Snapshot", "QuerySent"]
    assert room.got[client][-2]["gap"] is True
    assert room.seqs(client) == [21]


def test_a_restart_loses_telemetry_and_says_so() -> None:
    """Durable events of before come from the store; what was not stored is flagged."""
    room = Room(Limits(ring=10), seq=1_000)
    room.hub.fill([_numbered(3), _numbered(7)], whole=True)
    client = room.join({"verb": "resume", "epoch": "e", "seq": 3})
    assert (room.got[client][-1]["gap"], room.got[client][-1]["telemetry_gap"]) == (False, True)
    room.tick()
    assert room.seqs(client) == [7]
    part = Room(Limits(ring=10), seq=1_000)
    part.hub.fill([_numbered(3), _numbered(7)], whole=False)
    late = part.join({"verb": "resume", "epoch": "e", "seq": 1})
    assert part.got[late][-1]["gap"] is True


@pytest.mark.parametrize("node", ["101\n", "", "x", "-1", "1" * 21])
def test_an_id_is_digits_alone(node: str) -> None:
    """Not even a line break after them."""
    room = Room()
    client = room.join({"verb": "subscribe", "nodes": [node]})
    assert room.types(client)[-1] == "Error"


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_forgotten_is_a_gap(whole: bool) -> None:
    """Retention may have swept events between those that are left, or all but a few: who was away since before is told."""
    room = Room(Limits(ring=10), seq=1_000)
    room.hub.fill([_numbered(3), _numbered(70)], whole=whole, forgotten=50)
    before, after = (room.join({"verb": "resume", "epoch": "e", "seq": seq}) for seq in (49, 50))
    assert room.got[before][-1]["gap"] is True
    assert room.got[after][-1]["gap"] is False
    room.tick()
    assert room.seqs(after) == [70]


def test_who_does_not_read_waits_alone() -> None:
    """LAGGING gets nothing until it has drained, then a Snapshot with a gap; the others get everything."""
    room = Room()
    slow, other = room.join(SUBSCRIBE), room.join(SUBSCRIBE)
    room.waiting[slow] = 1_001
    for seq in range(1, 6):
        room.publish(seq)
        room.tick()
    assert slow.state is State.LAGGING
    assert (room.seqs(slow), room.seqs(other)) == ([], [1, 2, 3, 4, 5])
    room.waiting[slow] = 0
    room.tick()
    room.publish(6)
    room.tick()
    assert (room.got[slow][-2]["gap"], room.got[slow][-2]["seq"]) == (True, 5)
    assert (room.seqs(slow), room.seqs(other)) == ([6], [1, 2, 3, 4, 5, 6])


def test_who_never_reads_is_closed() -> None:
    """After 10 s, 1013; also one that was catching up."""
    room = Room()
    room.publish(*range(1, 9))
    room.tick()
    lagging, catching = room.join(SUBSCRIBE), room.join({"verb": "resume", "epoch": "e", "seq": 2})
    room.waiting[lagging] = room.waiting[catching] = 2_000
    room.publish(9)
    room.tick()
    room.tick(9.8)
    assert room.closed == {}
    room.tick(0.3)
    assert room.closed == {lagging: 1013, catching: 1013}
    assert room.hub.closed_slow == 2


def test_snapshots_are_one_a_second() -> None:
    """However often one is asked for: it is the largest thing there is. It comes after the batch that it covers."""
    room = Room()
    client = room.join(SUBSCRIBE, *[{"verb": "request_snapshot"}] * 5)
    room.publish(1)
    for _ in range(5):
        room.tick()
        room.say(client, {"verb": "request_snapshot"})
    assert room.types(client)[1:] == ["Subscribed", "QuerySent", "Snapshot"]
    assert room.got[client][-1]["gap"] is False
    for _ in range(10):
        room.tick()
    assert room.types(client).count("Snapshot") == 2


def test_a_batch_too_large_to_send_at_once_is_sent_in_parts() -> None:
    """What a node ships after an hour's silence does not make everybody lag."""
    room = Room(Limits(ring=1_000, chunk_bytes=2_000, waiting_bytes=4_000))
    client = room.join(SUBSCRIBE)
    room.publish(*range(1, 201))
    for _ in range(40):
        room.tick()
    assert room.seqs(client) == list(range(1, 201))
    assert max(map(len, room.texts)) < 2_500


def test_missed_events_are_told_to_everybody() -> None:
    """The bus was away: who is live gets a Snapshot with a gap, who resumes from before hears of it."""
    room = Room()
    client = room.join(SUBSCRIBE)
    room.publish(1)
    room.tick()
    room.hub.skipped(9, room.now_s)
    room.publish(10)
    room.tick()
    assert [one["type"] for one in room.got[client][-1:]] == ["Snapshot"]
    assert room.got[client][-1]["gap"] is True
    late = room.join({"verb": "resume", "epoch": "e", "seq": 1})
    assert room.got[late][-1]["gap"] is True


@given(st.lists(st.tuples(st.sampled_from(["publish", "tick", "block", "drain", "resume", "join"]), st.integers(0, 3))))
def test_each_event_comes_once_and_in_order_or_a_gap_is_said(steps: list[tuple[str, int]]) -> None:
    """Whatever clients do: the numbers rise, and none is left out without a Snapshot or Resumed that says so."""
    room, seq = Room(), 0
    clients = [room.join(SUBSCRIBE)]
    for act, which in steps:
        client = clients[which % len(clients)]
        if act == "publish":
            seq += 1
            room.publish(seq)
        elif act == "tick":
            room.tick()
        elif act == "join" and len(clients) < 4:
            clients.append(room.join(SUBSCRIBE))
        elif act in ("block", "drain"):
            room.waiting[client] = 5_000 if act == "block" else 0
        elif act == "resume" and client not in room.closed:
            room.say(client, {"verb": "resume", "epoch": "e", "seq": which})
    for client in clients:
        room.waiting[client] = 0
    for _ in range(25):
        room.tick()
    for client in clients:
        if client not in room.closed:
            assert _next_after(room.got[client]) in (None, seq + 1)


def _next_after(got: list[dict[str, Any]]) -> int | None:
    """The number that must come next; each that came was the one that had to."""
    expected = None
    for one in got:
        if one["type"] in ("Subscribed", "Snapshot", "Resumed"):
            expected = one["seq"] + 1
        elif one["type"] == "QuerySent":
            assert one["seq"] == expected, got
            expected += 1
    return expected


def test_a_query_is_what_it_says() -> None:
    """The helper of these tests makes events that the stream knows."""
    assert type(query(1, 2)).__name__ in events.EVENTS
