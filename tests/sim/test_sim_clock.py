"""A node's clocks: the wall clock jumps, the monotonic one never does, timers are never early."""

import pytest

from etp.clock import Now
from etp.units import MonotonicS, WallUs
from sim.clock import Clock
from sim.scheduler import EPOCH_US, Scheduler


def test_a_right_clock_reads_true_time() -> None:
    """Without offset and drift both clocks read what the scheduler does."""
    scheduler = Scheduler()
    scheduler.run(2.5)
    assert Clock(scheduler).now() == scheduler.now() == Now(MonotonicS(2.5), WallUs(EPOCH_US + 2_500_000))


def test_a_jump_moves_the_wall_clock_alone() -> None:
    """Deadlines are kept whatever the date is set to."""
    scheduler = Scheduler()
    clock = Clock(scheduler, offset_us=1000, origin_s=77.0)
    clock.jump(-5_000_000)
    assert clock.now() == Now(MonotonicS(77.0), WallUs(EPOCH_US - 4_999_000))
    assert clock.ahead_us == -4_999_000


def test_drift_moves_both_and_ntp_sets_the_wall_clock() -> None:
    """100 ppm are 1 ms in 10 s."""
    scheduler = Scheduler()
    clock = Clock(scheduler, drift_ppm=100.0)
    scheduler.run(10.0)
    assert clock.monotonic_s == pytest.approx(10.001)
    assert clock.ahead_us == 1000
    clock.set_right()
    assert abs(clock.ahead_us) <= 1
    assert clock.monotonic_s == pytest.approx(10.001)


@pytest.mark.parametrize(("drift_ppm", "origin_s"), [(0.0, 0.0), (97.3, 123_456.789), (-55.5, 9e5)])
def test_a_timer_is_never_early(drift_ppm: float, origin_s: float) -> None:
    """At the true time of a reading the clock has reached it: else a timer would fire again and again."""
    scheduler = Scheduler()
    clock = Clock(scheduler, drift_ppm=drift_ppm, origin_s=origin_s)
    for deadline in (origin_s + 0.1, origin_s + 1 / 3, origin_s + 59.999_999_7):
        scheduler.run(clock.true_s(deadline))
        assert clock.monotonic_s >= deadline
