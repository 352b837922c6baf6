"""The clock offset of one peer."""

import pytest

from etp import messages
from etp.clock import Now
from etp.frame import Frame
from etp.offset import MAX_ROUND_TRIP_MS, OffsetEstimator
from etp.units import DeviceId, MicroPerKwh, MonotonicS, WallUs, Wh

EPOCH_US = 1_700_000_000_000_000


def at(ms: float) -> Now:
    """Our clocks `ms` after the start."""
    return Now(MonotonicS(100.0 + ms / 1000), WallUs(EPOCH_US + int(ms * 1000)))


def response(ms: float, *, ahead_ms: float = 0.0) -> Frame:
    """A Response stamped `ms` after the start by a clock that is ahead of ours."""
    offer = messages.Offer(held=Wh(1000), for_sale=Wh(500))
    frame = messages.response(DeviceId(7), offer=offer, ask=MicroPerKwh(0))
    return messages.stamped(frame, EPOCH_US + int((ms + ahead_ms) * 1000))


def test_symmetric_path_gives_the_exact_offset() -> None:
    """Equal times out and back: the estimate is the offset, whatever its sign."""
    for ahead_ms in (-3000.0, -40.0, 0.0, 250.0, 3000.0):
        estimator = OffsetEstimator()
        estimator.asked(at(0))
        sample = estimator.answered(response(10, ahead_ms=ahead_ms), at(20))
        assert sample is not None
        assert sample.offset_ms == pytest.approx(ahead_ms, abs=0.01)
        assert sample.rtt_ms == pytest.approx(20.0, abs=0.01)


def test_shortest_round_trip_wins() -> None:
    """A reply delayed by 50 ms biases its sample by 25 ms; a quicker one replaces it, a slower one does not."""
    estimator = OffsetEstimator()
    for start, delay in ((0, 50), (1000, 4), (2000, 30)):
        estimator.asked(at(start))
        estimator.answered(response(start + delay), at(start + delay))
    assert estimator.best is not None
    assert estimator.best.rtt_ms == pytest.approx(4.0, abs=0.01)
    assert estimator.offset_ms == pytest.approx(2.0, abs=0.01)


def test_truth_lies_within_half_a_round_trip() -> None:
    """However out and back share the round trip, the error is at most half of it."""
    for out in range(0, 101, 10):
        estimator = OffsetEstimator()
        estimator.asked(at(0))
        sample = estimator.answered(response(out), at(100))
        assert sample is not None
        assert abs(sample.offset_ms) <= sample.rtt_ms / 2 + 0.01


def test_old_samples_are_forgotten() -> None:
    """Eight newer samples push the best one out, so that a drifting clock is followed."""
    estimator = OffsetEstimator()
    for index, delay in enumerate([1] + [10] * 8):
        estimator.asked(at(index * 1000))
        estimator.answered(response(index * 1000 + delay), at(index * 1000 + delay))
    assert estimator.best is not None
    assert estimator.best.rtt_ms == pytest.approx(10.0, abs=0.01)


def test_what_is_no_measurement_gives_none() -> None:
    """Nothing asked, another type, an echoed id, an untimed id, an answer twice, an answer after a second."""
    estimator = OffsetEstimator()
    assert estimator.answered(response(0), at(0)) is None
    estimator.asked(at(0), message_id=EPOCH_US)
    assert estimator.answered(messages.query(DeviceId(7)), at(1)) is None
    assert estimator.answered(response(0), at(1)) is None, "echoes the asker's id"
    estimator.asked(at(10))
    assert estimator.answered(messages.stamped(response(0), 2**40 - 1), at(11)) is None
    estimator.asked(at(20))
    assert estimator.answered(response(21), at(21)) is not None
    assert estimator.answered(response(22), at(22)) is None
    estimator.asked(at(30))
    assert estimator.answered(response(31), at(31 + MAX_ROUND_TRIP_MS)) is None
    assert OffsetEstimator().offset_ms is None


def test_earliest_unanswered_query_counts_until_it_is_too_old() -> None:
    """A second Query does not shorten the round trip of the answer to the first; after a second it replaces it."""
    estimator = OffsetEstimator()
    estimator.asked(at(0))
    estimator.asked(at(30))
    sample = estimator.answered(response(40), at(40))
    assert sample is not None
    assert sample.rtt_ms == pytest.approx(40.0, abs=0.01)
    estimator.asked(at(100))
    estimator.asked(at(101 + MAX_ROUND_TRIP_MS))
    sample = estimator.answered(response(111 + MAX_ROUND_TRIP_MS), at(111 + MAX_ROUND_TRIP_MS))
    assert sample is not None
    assert sample.rtt_ms == pytest.approx(10.0, abs=0.01)


def test_step_of_our_wall_clock_does_no_harm() -> None:
    """Our wall clock jumps an hour between Query and Response: the offset is against the clock after it."""
    estimator = OffsetEstimator()
    estimator.asked(Now(MonotonicS(100.0), WallUs(EPOCH_US - 3_600_000_000)))
    sample = estimator.answered(response(10), at(20))
    assert sample is not None
    assert sample.offset_ms == pytest.approx(0.0, abs=0.01)
