"""The delivery queue: first confirmed, first delivered, to the Wh."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bess_node.battery import Battery, BatterySpec
from bess_node.delivery import Delivery, DeliveryQueue
from etp.units import LotId, Wh


def battery_of(stored: float = 10_000, discharge_kw: float = 3.6) -> Battery:
    """A lossless battery that by default delivers 1 Wh in a second."""
    return Battery(BatterySpec(Wh(1_000_000), discharge_kw=discharge_kw, discharge_efficiency=1.0), stored)


def queue_of(*energies: int) -> DeliveryQueue:
    """Trades of these energies, with lot ids from 1 on."""
    queue = DeliveryQueue()
    for lot_id, energy in enumerate(energies, 1):
        queue.add(LotId(lot_id), Wh(energy))
    return queue


def told(ended: list[Delivery]) -> list[tuple[int, int, bool]]:
    """Lot, delivered Wh, short."""
    return [(delivery.lot_id, delivery.delivered, delivery.short) for delivery in ended]


def test_nothing_queued_delivers_nothing() -> None:
    """An idle queue has no time to wait for and takes nothing out of the battery."""
    queue, battery = DeliveryQueue(), battery_of()
    assert (queue.advance(battery, 1e6), queue.next_done_s(battery), battery.stored_wh) == ([], None, 10_000)


@pytest.mark.parametrize("energy", [0, -1])
def test_trade_without_energy_is_refused(energy: int) -> None:
    """It would have no end."""
    with pytest.raises(ValueError, match=f"energy of lot 1 is {energy} Wh"):
        queue_of(energy)


def test_delivery_takes_its_time() -> None:
    """The first trade ends when the rate has carried it, and the second follows."""
    queue, battery = queue_of(100, 50), battery_of()
    assert told(queue.advance(battery, 99.9)) == []
    assert (queue.outstanding_wh, battery.stored_wh) == (51, 9_901)
    assert told(queue.advance(battery, 0.1)) == [(1, 100, False)]
    assert told(queue.advance(battery, 50.0)) == [(2, 50, False)]
    assert queue.outstanding_wh == 0


def test_one_long_step_ends_several() -> None:
    """A step over many trades returns them in order and keeps the time left for the next."""
    queue, battery = queue_of(10, 20, 100), battery_of()
    assert told(queue.advance(battery, 40.0)) == [(1, 10, False), (2, 20, False)]
    assert (queue.outstanding_wh, battery.stored_wh) == (90, 9_960)


def test_idle_inverter_saves_nothing_up() -> None:
    """Time left over when the queue ran dry does not deliver the next trade at once."""
    queue, battery = queue_of(100), battery_of()
    queue.advance(battery, 3600.0)
    queue.add(LotId(2), Wh(100))
    assert told(queue.advance(battery, 1.0)) == []
    assert queue.outstanding_wh == 99


def test_empty_battery_ends_short() -> None:
    """Who comes when the battery runs dry gets what there was; whoever follows gets nothing."""
    queue, battery = queue_of(100, 50, 50), battery_of(stored=120)
    assert told(queue.advance(battery, 1000.0)) == [(1, 100, False), (2, 20, True), (3, 0, True)]
    assert (queue.outstanding_wh, battery.stored_wh, queue.next_done_s(battery)) == (0, 0, None)


def test_floor_ends_short() -> None:
    """The floor is kept, also against a promise."""
    battery = Battery(BatterySpec(Wh(1_000), floor_wh=Wh(900), discharge_kw=3.6, discharge_efficiency=1.0), 1_000)
    assert told(queue_of(150).advance(battery, 1000.0)) == [(1, 100, True)]
    assert battery.stored_wh == 900


def test_failure_ends_everything_as_it_is() -> None:
    """All that is outstanding ends short with what it had, and the next trade starts afresh."""
    queue, battery = queue_of(100, 50), battery_of()
    queue.advance(battery, 30.5)
    assert told(queue.fail()) == [(1, 30, True), (2, 0, True)]
    assert (queue.outstanding_wh, queue.fail()) == (0, [])
    queue.add(LotId(3), Wh(1))
    assert told(queue.advance(battery, 0.6)) == []


def test_next_done_counts_what_is_due() -> None:
    """Market seconds to the end of the first trade, the part already delivered taken off."""
    queue, battery = queue_of(100), battery_of()
    queue.advance(battery, 40.25)
    assert queue.next_done_s(battery) == pytest.approx(59.75, abs=1e-5)


def test_next_done_sees_the_battery_run_dry() -> None:
    """A trade that the battery cannot fill is known to be short with the first Wh that lacks, not at its planned end."""
    queue, battery = queue_of(100), battery_of(stored=30)
    assert queue.next_done_s(battery) == pytest.approx(31.0, abs=1e-5)
    assert told(queue.advance(battery, queue.next_done_s(battery) or 0.0)) == [(1, 30, True)]


@given(
    st.lists(st.integers(1, 20_000), min_size=1, max_size=8),
    st.floats(0.001, 100_000),
    st.floats(0, 60_000),
    st.floats(0, 10),
)
def test_waiting_for_next_done_ends_a_trade(
    energies: list[int], discharge_kw: float, stored: float, before_s: float
) -> None:
    """Nothing polls: each wait by `next_done_s`, even as a step of unix seconds, ends at least one trade."""
    queue, battery = queue_of(*energies), battery_of(stored, discharge_kw)
    unix_s = 1_590_004_800.0
    queue.advance(battery, before_s)
    while (wait_s := queue.next_done_s(battery)) is not None:
        then_s, unix_s = unix_s, unix_s + wait_s
        assert queue.advance(battery, unix_s - then_s)


TRADES = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 400)), max_size=40)


@given(TRADES, st.integers(0, 8_000))
def test_no_wh_is_lost_or_made(trades: list[tuple[int, float]], stored: int) -> None:
    """Sold = delivered + short + outstanding and the battery fell by what was delivered, over any arrivals and steps."""
    queue, battery, sold, delivered, lacking = DeliveryQueue(), battery_of(stored), 0, 0, 0
    order: list[int] = []
    for lot_id, (energy, seconds) in enumerate(trades):
        queue.add(LotId(lot_id), Wh(energy))
        sold += energy
        for ended in queue.advance(battery, seconds):
            order.append(ended.lot_id)
            delivered += ended.delivered
            lacking += ended.missing_wh
        underway = stored - battery.stored_wh - delivered
        assert underway >= 0
        assert sold == delivered + lacking + underway + queue.outstanding_wh
    order += [ended.lot_id for ended in queue.fail()]
    assert order == list(range(len(trades)))


@given(st.lists(st.floats(0, 50), max_size=40))
def test_steps_of_any_size_deliver_the_same(steps: list[float]) -> None:
    """A delivery in many steps is where one long step would be, to the Wh that float noise may move."""
    many, one = battery_of(), battery_of()
    by_steps, at_once = queue_of(5_000), queue_of(5_000)
    for seconds in steps:
        by_steps.advance(many, seconds)
    at_once.advance(one, sum(steps))
    assert abs(many.stored_wh - one.stored_wh) <= 1


def test_a_minute_of_a_thousand_trades_a_second_passes() -> None:
    """60,000 trades of 100 Wh: what the largest legal rate carries in a minute ends, the rest waits, nothing is lost."""
    battery = Battery(BatterySpec(Wh(1_000_000_000), discharge_kw=100_000, discharge_efficiency=1.0), 1e9)
    queue, ended = DeliveryQueue(), 0
    for lot_id in range(60_000):
        queue.add(LotId(lot_id), Wh(100))
        ended += len(queue.advance(battery, 0.001))
    assert ended == 16_666
    ended += len(queue.advance(battery, 3600.0))
    assert (ended, queue.outstanding_wh, battery.stored_wh) == (60_000, 0, 1_000_000_000 - 6_000_000)
