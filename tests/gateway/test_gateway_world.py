"""What is true now: from events alone, and never more than the market is large."""

import pytest

from gateway import world as module
from gateway.events import (
    AggregatorStatus,
    AuctionStarted,
    LotUpdated,
    LotVoided,
    SystemMetrics,
    Totals,
    TradeConfirmed,
    TradeSettled,
)
from gateway.world import World
from tests.gateway.test_gateway_store import status

WHO = {"node": "101", "time_us": 1, "market_us": 1}


def trade(number: int) -> TradeConfirmed:
    """A trade of 1 kWh for 0.12 $."""
    return TradeConfirmed(
        **WHO, lot_id=str(number), auction_id=str(number), aggregator="500", message_id="1", energy_wh=1_000,
        price_micro_per_kwh=120_000, bid_micro_per_kwh=120_000, paid_micro=120_000, bidders=2, first_micro_per_kwh=None,
        feed_in_micro_per_kwh=None,
    )  # fmt: skip


def lot(lot_id: str = "7", energy_wh: int = 1_000) -> LotUpdated:
    """An open lot with a leader."""
    return LotUpdated(
        **WHO, lot_id=lot_id, energy_wh=energy_wh, ask_micro_per_kwh=1, standing_micro_per_kwh=2, bidders=3, closes_us=4
    )


STARTED = AuctionStarted(**WHO, lot_id="7", mechanism="english", energy_wh=900, reserve_micro_per_kwh=None)


def snapshot(world: World) -> module.Snapshot:
    """Now."""
    return world.snapshot(epoch="e", seq=9, now_us=5, gap=True)


def test_totals_and_newest_trades() -> None:
    """Sums go on from those of the store, and the newest trades are first."""
    world = World(trades=2, totals=Totals(trades=10, energy_wh=5, paid_micro=6, settled=7, settled_micro=8))
    world.remember(trade(1))
    world.apply([trade(2), trade(3), TradeSettled(**WHO, lot_id="2", aggregator="500", amount_micro=9, signature="")])
    shown = snapshot(world)
    assert [found.lot_id for found in shown.trades] == ["3", "2"]
    assert shown.totals == Totals(trades=12, energy_wh=2_005, paid_micro=240_006, settled=8, settled_micro=17)
    assert (shown.epoch, shown.seq, shown.time_us, shown.gap) == ("e", 9, 5, True)


def test_a_lot_opens_changes_and_ends() -> None:
    """By its own events alone: what is said of another lot changes nothing."""
    world = World(trades=1)
    world.apply([lot(), STARTED])
    assert snapshot(world).lots[0].ask_micro_per_kwh is None
    world.apply([lot("6"), lot()])
    assert (snapshot(world).lots[0].standing_micro_per_kwh, snapshot(world).lots[0].energy_wh) == (2, 1_000)
    ended = {"mechanism": "english", "energy_wh": 1, "opened_us": 1, "bids": 1, "bidders": 1}
    world.apply([LotVoided(**WHO, lot_id="6", **ended)])
    assert len(snapshot(world).lots) == 1
    world.apply([LotVoided(**WHO, lot_id="7", **ended)])
    assert snapshot(world).lots == []
    world.apply([STARTED, lot(energy_wh=0)])
    assert snapshot(world).lots == []


def test_a_node_that_is_gone_takes_its_lot_with_it() -> None:
    """And its metrics are those of a node that is away."""
    world = World(trades=1)
    metrics = SystemMetrics(
        **WHO,
        online=True,
        latencies=[],
        late_messages=0,
        violations=0,
        journal_waiting=0,
        feed_unacked=0,
        feed_dropped=0,
    )
    world.apply([status(1), metrics, STARTED])
    assert world.is_online(101)
    assert world.online() == (1, 0)
    world.apply([module.replace(status(2), online=False)])
    shown = snapshot(world)
    assert not world.is_online(101)
    assert (shown.lots, shown.metrics[0].online, shown.batteries[0].online) == ([], False, False)


def test_what_is_remembered_is_offline() -> None:
    """A gateway that starts knows how nodes were, not how they are."""
    world = World(trades=1)
    buyer = AggregatorStatus(
        node="500", time_us=1, market_us=1, online=True, strategy="random", demand_wh=1, bought_wh=0, paid_micro=0,
        exposed_wh=0, promises_open=0, batteries=0,
    )  # fmt: skip
    world.remember(status(1))
    world.remember(buyer)
    assert world.online() == (0, 0)
    world.apply([buyer])
    assert world.online() == (0, 1)


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more nodes than there can be those that are away for longest are forgotten; who is here stays."""
    monkeypatch.setattr(module, "MOST_NODES", 3)
    world = World(trades=1)
    for node in range(5):
        world.apply([module.replace(status(node), node=str(node), online=node == 0)])
    assert [found.node for found in snapshot(world).batteries] == ["0", "3", "4"]
    for node in range(9):
        world.apply([module.replace(STARTED, node=str(node))])
    assert len(snapshot(world).lots) == 3
