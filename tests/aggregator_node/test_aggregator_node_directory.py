"""What is remembered of batteries, and how far each is trusted."""

from aggregator_node.directory import MAX_SHOWN, Directory
from tests.support import at


def test_it_is_bounded_and_remembers() -> None:
    """The same battery is met once; one too many is not met at all."""
    directory = Directory(maximum=2)
    first = directory.meet(1)
    assert first is directory.meet(1) is directory.find(1)
    assert directory.meet(2) is not None
    assert (directory.meet(3), directory.find(3)) == (None, None)
    assert [battery.device_id for battery in directory] == [1, 2]
    assert len(directory) == 2


def test_a_broken_promise_costs_reliability() -> None:
    """1 until a promise breaks; then the share of those that are kept, a stranger counting as one that kept ten."""
    battery = Directory().meet(1)
    assert battery is not None
    assert battery.reliability == 1.0
    battery.kept = 10
    battery.broken = 1
    assert battery.reliability == 0.95
    battery.broken = 40
    assert battery.reliability == 0.0


def test_entries_are_plain_and_few() -> None:
    """What is shown is ready for JSON, with the time of the last word as wall time, and has a bound."""
    directory = Directory()
    for device_id in range(2 * MAX_SHOWN):
        directory.meet(device_id)
    battery = directory.find(0)
    assert battery is not None
    battery.last_seen_s, battery.ask = at(3.0).monotonic_s, 65_000
    entries = directory.entries(at(5.0))
    assert len(entries) == MAX_SHOWN
    assert entries[0]["seen_us"] == at(3.0).wall_us
    assert entries[0]["ask_micro_per_kwh"] == 65_000
    assert entries[1]["seen_us"] is entries[1]["clock_offset_ms"] is None
