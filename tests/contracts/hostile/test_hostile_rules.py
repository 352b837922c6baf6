"""One fault at a time, as bad as it can be: what the settler does about it, and that no rule breaks."""

import random
from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from contracts.accounts import TradeStatus
from contracts.outbox import KIND
from contracts.rpc import GetAccounts, Request
from contracts.settler_limits import SettlerTiming
from sim.io.chain.faults import LIES, UNRELIABLE, Fault, Odds
from sim.io.chain.market import ADMIN, ADMIN_ADDRESS, market_rules
from sim.io.chain.rpc import Carried
from tests.contracts.hostile.founding import BATTERY_ID, PLACE, Market, buyer_key, confirm
from tests.contracts.hostile.invariants import check_end
from tests.contracts.hostile.world import Scenario, World

QUICK = SettlerTiming(default_after_s=2.0, escrow_s=1.0)


def calm(*rpcs: Odds, trades: int = 0) -> Scenario:
    """A local chain with these RPCs and nothing else that goes wrong."""
    return Scenario(trades, list(rpcs), behind=[0] * len(rpcs), slot_ms=40, finality_slots=4, stress_s=10.0)


class Play:
    """A world that a test moves itself."""

    def __init__(self, scenario: Scenario, *, seed: int = 1, rich: bool = True) -> None:
        self.world = World(scenario, seed, timing=QUICK)
        self.market, self.scheduler, self.node = self.world.market, self.world.scheduler, self.world.node
        if rich:
            self.market.deposit(500, 10**9)
        self.market.pay_fees(10**12)
        self.node.start()
        self.run(1)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.scheduler.run(self.scheduler.time_s + seconds)

    def trade(self, lot_id: int) -> None:
        """A trade comes."""
        time_us = self.scheduler.now().wall_us
        self.world.take(confirm(lot_id, 500, price=200_000, energy=1_000 + lot_id, time_us=time_us))

    def state(self, lot_id: int) -> str:
        """What the journal says."""
        found = self.node.disk.find(KIND, str(lot_id))
        return "" if found is None else found.state

    def reason(self, lot_id: int) -> str:
        """Why it is not settled."""
        found = self.node.disk.find(KIND, str(lot_id))
        return "" if found is None else str(found.body["reason"])

    def attempts(self, lot_id: int) -> int:
        """Transactions signed for it."""
        return len(self.world.rules.attempts.get(self.world.entries[lot_id].lot_id, {}))

    def end(self) -> None:
        """Everything is over, and right."""
        self.world.calm()
        self.world.settle_all(self.scheduler.time_s + 400)
        self.run(40)
        assert self.world.rules.broken == []
        assert self.node.settler is not None
        check_end(self.market, self.node.disk, self.node.settler, self.world.entries.values())


# -- each fault by itself


@pytest.mark.parametrize("fault", UNRELIABLE)
def test_one_rpc_with_one_fault_every_other_time(fault: Fault) -> None:
    """Trades come through all the while, or as soon as it is over."""
    odds = 0.1 if fault is Fault.DOWN else 0.5
    made = calm({fault: odds}, trades=10)
    world = World(replace(made, stress_s=60.0), 3)
    outcome = world.run()
    assert outcome.faults[fault] >= (1 if fault is Fault.DOWN else 3)
    assert outcome.broken == []
    assert outcome.calm_s <= 150


@pytest.mark.parametrize("lie", LIES)
def test_one_liar_of_three_changes_nothing(lie: Fault) -> None:
    """It tells the same lie each time; the two others outvote it, and trades are settled while it lies."""
    made = calm({lie: 1.0}, {}, {}, trades=8)
    world = World(replace(made, stress_s=40.0), 5)
    outcome = world.run()
    assert outcome.faults[lie] >= 1
    assert outcome.broken == []
    assert outcome.calm_s <= 60


def test_lies_of_an_rpc_of_two_hold_things_up_and_do_no_more() -> None:
    """An honest one and one that lies in every way now and then."""
    made = calm({}, dict.fromkeys(LIES, 0.2), trades=10)
    outcome = World(replace(made, stress_s=60.0), 2).run()
    assert outcome.broken == []
    assert outcome.calm_s <= 150


# -- the chain's own


def test_confirmed_and_forked_away_is_sent_again_as_it_is() -> None:
    """The blockhash is older than the fork: the same bytes land on the other branch."""
    play = Play(calm({}))
    play.trade(1)
    for _ in range(200):
        play.run(0.005)
        if any(
            landed.slot > play.world.chain.chain.slots.finalized for landed in play.world.chain.chain.landed.values()
        ):
            break
    play.run(0.02)
    assert play.world.chain.fork(1)
    assert play.state(1) == "settling"
    play.run(10)
    assert play.state(1) == "settled"
    play.end()


def test_deep_forks_again_and_again() -> None:
    """Every 0.1 s all that is not final is gone, for 20 s: nothing is said too early, nothing is signed too early."""
    play = Play(calm({}, {}))
    for number in range(200):
        if number % 20 == 0:
            play.trade(number // 20 + 1)
        play.run(0.1)
        play.world.fork()
    assert len(play.world.chain.dropped) > 5
    play.end()


def test_ten_minutes_without_finality() -> None:
    """Nothing is settled, nothing is signed twice; then everything is."""
    play = Play(replace(calm({}, {}), slot_ms=400, finality_slots=32))
    play.run(20)
    play.world.chain.stall(on=True)
    for lot_id in range(1, 6):
        play.trade(lot_id)
        play.run(120)
    assert {play.state(lot_id) for lot_id in range(1, 6)} <= {"confirmed", "settling"}
    assert all(play.attempts(lot_id) <= 1 for lot_id in range(1, 6))
    assert play.world.rules.broken == []
    play.world.chain.stall(on=False)
    play.run(180)
    assert all(play.state(lot_id) == "settled" for lot_id in range(1, 6))
    play.end()


# -- money


def test_an_empty_fee_payer_is_said_and_healed() -> None:
    world = World(replace(calm({}, trades=6), stress_s=30.0, fees_for=0.0), 4)
    outcome = world.run()
    assert outcome.broken == []
    assert outcome.calm_s <= 150
    reasons = {str(row.body["reason"]) for row in world.node.disk.rows}
    assert any("send SOL to" in reason for reason in reasons), reasons


def test_an_emptied_escrow_is_a_default_and_paid_after_a_deposit() -> None:
    play = Play(calm({}), rich=False)
    play.market.deposit(500, 1)
    play.trade(1)
    play.run(60)
    assert play.state(1) == "defaulted"
    assert play.market.participant(500).defaulted == 1
    play.market.deposit(500, 10**6)
    play.run(90)
    assert play.state(1) == "settled"
    assert status(play.market, 1) is TradeStatus.PAID
    play.end()


def test_a_default_that_is_paid_and_given_back_while_the_battery_is_down_is_refunded() -> None:
    """Its settle was on its way when it died; the buyer disputed, and the arbiter was quick. That is no other trade."""
    play = Play(replace(calm({}), dispute_window=600), rich=False)
    market, buyer, parties = play.market, buyer_key(500), play.market.parties(500, 1)
    market.deposit(500, 1)
    play.trade(1)
    play.run(60)
    assert play.state(1) == "defaulted"
    market.deposit(500, 10**6)
    while newest(market) is not TradeStatus.HELD:
        play.run(0.02)
    play.node.down_s = (60.0, 60.0)
    play.node.kill()
    assert play.state(1) == "defaulted"
    assert market.tries([market.make.dispute(Pubkey(buyer.public), parties)], buyer)
    back = market.make.resolve(ADMIN_ADDRESS, parties, market_rules(market), to_battery=False)
    assert market.tries([back], ADMIN)
    play.run(120)
    assert status(market, 1) is TradeStatus.REFUNDED
    assert play.state(1) == "refunded"
    assert play.node.settler is not None
    assert play.node.settler.alarm is None
    assert play.world.rules.broken == []


def newest(market: Market) -> TradeStatus | None:
    """Of the only trade, in the newest slot."""
    trade = market.newest(BATTERY_ID, 1)
    return None if trade is None else trade.status


def test_an_old_answer_that_comes_late_is_old() -> None:
    """One honest RPC: a default that was asked for before the payment, and is heard after it, is neither alarm nor end."""
    play = Play(replace(calm({}), slot_ms=400, finality_slots=32, dispute_window=30), rich=False)
    play.market.deposit(500, 1)
    play.trade(1)
    play.run(240)
    assert play.state(1) == "defaulted"
    rpc = play.world.rpcs[0]
    honest, lates = rpc.ask, []

    def ask(request: Request) -> Carried:
        carried = honest(request)
        if status(play.market, 1) is TradeStatus.DEFAULTED and is_about(request, 1):
            lates.append(play.scheduler.time_s)
            return carried._replace(late_s=9.0)
        return carried

    rpc.ask = ask  # type: ignore[method-assign]
    play.market.deposit(500, 10**6)
    play.run(60)
    assert lates
    assert play.node.settler is not None
    assert play.node.settler.alarm is None
    play.run(120)
    assert play.state(1) == "settled"
    play.end()


def is_about(request: Request, lot_id: int) -> bool:
    """Whether it asks for a lot's trade."""
    return isinstance(request, GetAccounts) and PLACE.trade(BATTERY_ID, lot_id) in request.addresses


def status(market: Market, lot_id: int) -> TradeStatus | None:
    trade = market.trade(lot_id)
    return None if trade is None else trade.status


def test_a_buyer_that_never_deposited_defaults() -> None:
    """There is neither an escrow nor a vault: no other case than an empty one."""
    play = Play(calm({}), rich=False)
    play.trade(1)
    play.run(60)
    assert play.state(1) == "defaulted"
    play.market.deposit(500, 10**6)
    play.run(90)
    assert play.state(1) == "settled"


# -- who is believed


@pytest.mark.parametrize("rpcs", [2, 3])
def test_a_liar_that_is_left_alone_decides_nothing(rpcs: int) -> None:
    """The others are down for a while, and no transaction lands: nothing that the liar invents goes into the outbox."""
    liar: Odds = {Fault.ACCOUNT_INVENTED: 1.0, Fault.NOTHING_FOR_SUCCESS: 1.0}
    play = Play(calm(*({} for _ in range(rpcs - 1)), liar))
    for rpc in play.world.rpcs[:-1]:
        rpc._down_until_s = play.scheduler.time_s + 60
    play.run(5)
    for lot_id in range(1, 6):
        play.trade(lot_id)
    play.run(40)
    assert play.world.rules.broken == []
    play.end()


def test_a_last_valid_height_that_is_too_low_is_not_believed() -> None:
    """A blockhash that its RPC says dies soon: nothing is signed anew while the bytes may still land."""
    liar: Odds = {Fault.LAST_VALID_TOO_LOW: 1.0, Fault.NOTHING_FOR_SUCCESS: 1.0}
    for seed in range(4):
        play = Play(calm({Fault.NOTHING_FOR_SUCCESS: 1.0}, liar), seed=seed)
        play.world.rpcs[0]._rng = random.Random(seed)
        for lot_id in range(1, 9):
            play.trade(lot_id)
            play.run(1.1)
        play.run(20)
        assert play.world.rules.broken == [], [str(each) for each in play.world.rules.broken[:3]]
        play.end()


# -- bounds


def test_an_rpc_that_is_down_collects_nothing() -> None:
    """Its queue has no more places than the outbox has trades, however many came and went meanwhile."""
    play = Play(calm({}, {}))
    play.world.rpcs[1]._down_until_s = 1e9
    play.run(5)
    for lot_id in range(1, 41):
        play.trade(lot_id)
        play.run(0.5)
    play.run(5)
    settler = play.node.settler
    assert settler is not None
    assert settler._links[1].waiting <= len(settler._work)
