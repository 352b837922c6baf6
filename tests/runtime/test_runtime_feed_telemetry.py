"""The buffer of telemetry: bounded, newest first to stay, what is true now once."""

from runtime.feed.telemetry import COUNTERS, KINDS, MOST_ITEMS, Buffer, metrics_body
from runtime.feed.wire import Item
from runtime.histogram import Metrics


def query(number: int) -> Item:
    """Something that happened."""
    return Item("query", number, {"battery": number})


def test_what_happened_comes_in_order() -> None:
    """Each once, as many as are asked for."""
    made = Buffer()
    for number in range(5):
        made.put(query(number))
    assert [item.time_us for item in made.take(3)] == [0, 1, 2]
    assert [item.time_us for item in made.take()] == [3, 4]
    assert made.take() == []


def test_the_oldest_are_dropped_and_counted() -> None:
    """However much comes, MOST_ITEMS wait; what is true now is not among the dropped."""
    made = Buffer()
    made.put(Item("status", 0, {"sessions": 1}))
    for number in range(50_000):
        made.put(query(number))
    assert (len(made), made.dropped) == (MOST_ITEMS, 50_001 - MOST_ITEMS)
    left = made.take(MOST_ITEMS)
    assert left[0].kind == "status"
    assert [item.time_us for item in left[1:]] == list(range(50_001 - MOST_ITEMS, 50_000))


def test_what_is_true_now_takes_the_place_of_what_was() -> None:
    """Only the newest of a kind waits, behind what happened meanwhile; what says the same is not sent again."""
    made = Buffer()
    made.put(Item("lot", 1, {"lot_id": 7}))
    made.put(query(2))
    made.put(Item("lot", 3, {"lot_id": 8}))
    assert [(item.kind, item.time_us) for item in made.take()] == [("query", 2), ("lot", 3)]
    made.put(Item("lot", 4, {"lot_id": 8}))
    assert made.take() == []
    made.put(Item("lot", 5, {"lot_id": 7}))
    assert [item.time_us for item in made.take()] == [5]


def test_a_new_connection_hears_what_is_true_now() -> None:
    """The newest of each such kind once more, with the time of now; nothing that happened comes twice."""
    made = Buffer()
    for item in (Item("lot", 1, {"lot_id": 7}), query(2), Item("status", 3, {"sessions": 1})):
        made.put(item)
    made.take()
    made.connected(9)
    assert [(item.kind, item.time_us) for item in made.take()] == [("lot", 9), ("status", 9)]


def test_all_kinds_fit_their_policy() -> None:
    """What happened is never merged, what is true now always."""
    made = Buffer()
    for kind in KINDS:
        made.put(Item(kind, 1, {"number": 1}))
        made.put(Item(kind, 2, {"number": 2}))
    assert len(made) == sum(1 if coalesces else 2 for coalesces in KINDS.values())


def test_metrics_say_nothing_of_bids() -> None:
    """Counters of the table alone: neither how many Bids came nor what was answered them."""
    metrics = Metrics()
    for name, label in (("received", "BID"), ("sent", "REJECT"), ("bids_withdrawn", ""), ("repeated", "BID")):
        metrics.count(name, label)
    metrics.count("late_messages", "QUERY", 3)
    metrics.observe("reply_ms", "ACCEPT", 5.0, 500)
    body = metrics_body(metrics, journal_waiting=4)
    assert (body["counters"], body["journal_waiting"]) == ({"late_messages": {"QUERY": 3}}, 4)
    assert body["histograms"]["reply_ms"]["ACCEPT"]["count"] == 1
    assert not [name for name in COUNTERS if "bid" in name]
