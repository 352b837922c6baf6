"""What a trade on the chain may still become, by the commands of buyer, arbiter and battery, against a real `etp devnet`."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator

import pytest
from solders.pubkey import Pubkey

from contracts.accounts import TradeStatus
from contracts.outbox import Entry, OutboxState, confirmed, row
from etp import messages
from etp.codes import MessageType, TerminateCode
from etp.frame import Frame, encode
from etp.record import seal
from etp.units import DeviceId, LotId, MessageId
from runtime.io.journal import Journal
from tests.paying import Devnet, World, secrets, until

BATTERY, OTHER_BATTERY, BUYER, OTHER_BUYER, POOR = 101, 102, 501, 502, 503
NAMES = {device: f"{'bess' if device < 500 else 'aggregator'}-{device}" for device in (101, 102, 501, 502, 503)}
HOUR_S, DAY_S = 3600, 86_400
FEE_BPS = 30
AMOUNT = 24_600


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A market that holds money for an hour; three buyers, of which one has no escrow; somebody else is its arbiter."""
    directory = tmp_path_factory.mktemp("disputes")
    chain = Devnet(directory)
    made = World(directory, chain)
    try:
        made.do("keygen", made.key_file("arbiter"))
        chain.fund(made.key("arbiter").public)
        arbiter = str(Pubkey(made.key("arbiter").public))
        made.open(
            "--fee-bps", str(FEE_BPS), "--dispute-window-s", str(HOUR_S), "--arbiter", arbiter, "--settle-days", "1"
        )
        for battery in (BATTERY, OTHER_BATTERY):
            made.join(battery, "bess")
        for buyer, deposit in ((BUYER, "1"), (OTHER_BUYER, "1"), (POOR, "")):
            made.join(buyer, "aggregator", deposit=deposit)
        yield made
    finally:
        chain.running.kill()
    (directory / "said.txt").write_text("\n".join(made.said))
    assert secrets(directory)[1] == []


class Lots:
    """Trades in a battery's journal, as its daemon writes them."""

    def __init__(self, world: World) -> None:
        self._world, self._last = world, 0

    def sell(self, *buyers: int, battery: int = BATTERY) -> list[int]:
        """One trade with each of these buyers, confirmed and in the outbox."""
        entries = [self._entry(buyer, battery) for buyer in buyers]

        async def write() -> None:
            journal = Journal.open(self._world.state(battery), role="bess", device_id=battery)
            await journal.commit([row(entry) for entry in entries])
            journal.close()

        asyncio.run(write())
        return [entry.lot_id for entry in entries]

    def _entry(self, buyer: int, battery: int) -> Entry:
        self._last = max(self._last + 1, time.time_ns() // 1000)
        frame = Frame(
            MessageType.CONFIRM, message_id=MessageId(self._last), device_id=DeviceId(buyer),
            sale_price=20.0, bid_price=20.0, required_energy_amount=0.123,
        )  # fmt: skip
        return confirmed(self._sealed(frame, buyer, battery, self._last), self._key(buyer), MessageId(self._last))  # type: ignore[arg-type]

    def _key(self, device: int) -> bytes:
        return self._world.key(NAMES[device]).public

    def _sealed(self, frame: Frame, by: int, to: int, lot_id: int) -> bytes:
        network = self._world.members.network
        self._last += 1
        return seal(
            frame, encode(frame), counter=self._last, lot_id=LotId(lot_id), recipient=self._key(to),
            network=network.network_id, sign=self._world.key(NAMES[by]).sign,
        )  # fmt: skip

    def terminate(self, lot: int, code: TerminateCode, *, by: int = BATTERY, to: int = BUYER) -> str:
        """A battery's signed Terminate about a lot, in hex."""
        frame = messages.stamped(messages.terminate(DeviceId(by), code), MessageId(time.time_ns() // 1000))
        return self._sealed(frame, by, to, lot).hex()


@pytest.fixture(scope="module")
def lots(world: World) -> Lots:
    """One seller's memory for the module."""
    return Lots(world)


def settle(world: World, battery: int = BATTERY, *, status: int = 0, for_s: int = 30) -> str:
    """`etp settle retry`."""
    state = ["--state-dir", str(world.state(battery)), *world.by(NAMES[battery])]
    return world.etp("settle", "retry", *state, "--for-s", str(for_s), status=status)


def of(lot: int, battery: int = BATTERY) -> list[str]:
    """The options that name a trade."""
    return ["--battery", str(battery), "--lot", str(lot)]


def opened(world: World, lot: int, *, by: int = BUYER, status: int = 0) -> str:
    """`etp dispute open`."""
    return world.do("dispute", "open", *world.by(NAMES[by]), *of(lot), status=status)


def resolved(world: World, lot: int, side: str, *, by: str = "arbiter", status: int = 0) -> str:
    """`etp dispute resolve`."""
    return world.do("dispute", "resolve", *world.by(by), *of(lot), side, status=status)


def refunded(world: World, lot: int, record: str, *, status: int = 0) -> str:
    """`etp dispute refund`."""
    return world.do("dispute", "refund", *world.by(NAMES[BUYER]), *of(lot), record, status=status)


def status_of(world: World, lot: int) -> TradeStatus:
    """Of a trade on the chain."""
    found = world.trade(BATTERY, lot)
    assert found is not None
    return found.status


def test_who_may_dispute_and_decide(world: World, lots: Lots) -> None:
    """A trade's own buyer, once, while it is held; the arbiter, once, while it is disputed; each side gets it as decided."""
    first, second, foreign = lots.sell(BUYER, BUYER, OTHER_BUYER)
    assert "is the lot_id right" in opened(world, first, status=1)  # not on the chain yet
    assert "all trades are on the chain" in settle(world)
    assert "ok   the journal's state is held: HELD on the chain" in world.do(
        "settle", "verify", str(first), "--state-dir", str(world.state(BATTERY))
    )
    for lot in (first, second):
        assert "refused" in opened(world, lot, by=OTHER_BUYER, status=1)
        assert "(NotDisputed)" in resolved(world, lot, "--to-battery", status=1) or "(WrongStatus)" in world.said[-1]
        assert "disputed, finalized" in opened(world, lot)
        assert "(WrongStatus)" in opened(world, lot, status=1)
        assert "refused" in resolved(world, lot, "--to-buyer", by="admin", status=1)
    before = world.escrow(BUYER)
    assert f"lot {first} decided for the battery, finalized" in resolved(world, first, "--to-battery")
    assert f"lot {second} decided for the buyer, finalized" in resolved(world, second, "--to-buyer")
    assert [status_of(world, lot) for lot in (first, second, foreign)] == [
        TradeStatus.PAID,
        TradeStatus.REFUNDED,
        TradeStatus.HELD,
    ]
    after = world.escrow(BUYER)
    assert (after.available - before.available, before.held - after.held) == (AMOUNT, 2 * AMOUNT)
    fee = AMOUNT * FEE_BPS // 10_000
    assert world.tokens(world.key(NAMES[BATTERY]).public) == AMOUNT - fee
    assert world.tokens(world.key("admin").public) == fee
    assert "(WrongStatus)" in resolved(world, second, "--to-battery", status=1)
    assert "(WrongStatus)" in opened(world, first, status=1)


def test_only_the_battery_s_own_word_refunds(world: World, lots: Lots) -> None:
    """Terminate 1 or 2, of this battery, to this buyer, about this lot; then once, also where it is disputed."""
    held, disputed, left = lots.sell(BUYER, BUYER, BUYER)
    settle(world)
    opened(world, disputed)
    give = lots.terminate
    wrong = {
        "FINISHED": give(held, TerminateCode.FINISHED),
        "another lot's": give(left, TerminateCode.CANNOT_DELIVER),
        "to another buyer": give(held, TerminateCode.CANNOT_DELIVER, to=OTHER_BUYER),
        "another battery's": give(held, TerminateCode.CANNOT_DELIVER, by=OTHER_BATTERY),
        "the buyer's own": give(held, TerminateCode.CANNOT_DELIVER, by=BUYER, to=BATTERY),
    }
    for what, record in wrong.items():
        said = refunded(world, held, record, status=1)
        assert said.startswith("etp: "), what
        assert said.count("\n") == 1, what
    assert status_of(world, held) is TradeStatus.HELD
    assert "424 hexadecimal digits" in refunded(world, held, "no record", status=2)
    assert "has 2 bytes; expected 212" in refunded(world, held, "abcd", status=1)
    before = world.escrow(BUYER)
    cannot = give(held, TerminateCode.CANNOT_DELIVER)
    assert "refunded, finalized" in refunded(world, held, cannot)
    assert "refunded, finalized" in refunded(world, disputed, give(disputed, TerminateCode.TIMEOUT))
    assert "(WrongStatus)" in refunded(world, held, cannot, status=1)
    assert world.escrow(BUYER).available - before.available == 2 * AMOUNT
    assert [status_of(world, lot) for lot in (held, disputed, left)] == [
        TradeStatus.REFUNDED,
        TradeStatus.REFUNDED,
        TradeStatus.HELD,
    ]
    said = world.do("settle", "verify", str(held), "--state-dir", str(world.state(BATTERY)), status=1)
    assert "NOT  the journal's state is held: REFUNDED on the chain" in said


def test_a_withdrawal_is_asked_for_taken_back_and_too_early(world: World) -> None:
    """What was asked for no longer counts as free; more than there is may be asked for; nothing leaves before its time."""
    buyer = [*world.by(NAMES[OTHER_BUYER]), "--device-id", str(OTHER_BUYER)]

    def shown() -> dict[str, int]:
        found: dict[str, int] = json.loads(world.do("escrow", "show", "--device-id", str(OTHER_BUYER)))
        return found

    before = shown()
    assert "0.250000 asked for, finalized" in world.do("escrow", "withdraw", *buyer, "0.25")
    assert shown()["free_micro"] == before["available_micro"] - 250_000
    assert "(WithdrawTooEarly)" in world.do("escrow", "withdraw", *buyer, status=1) or "refused" in world.said[-1]
    assert "taken back, finalized" in world.do("escrow", "withdraw", *buyer, "--cancel")
    assert shown() == before | {"withdrawal_since": shown()["withdrawal_since"]}
    assert "refused" in world.do("escrow", "withdraw", *buyer, status=1)
    both = world.do("escrow", "withdraw", *buyer, "0.25", "--cancel", status=2)
    assert "--cancel" in both
    assert shown()["withdrawal_micro"] == 0


def test_a_default_is_recorded_once_and_paid_after_the_deposit(world: World, lots: Lots) -> None:
    """An escrow that was never made: the battery waits, then says so on the chain; a deposit pays it like any other."""
    (lot,) = lots.sell(POOR, battery=OTHER_BATTERY)
    said = settle(world, OTHER_BATTERY, status=1, for_s=3)
    assert f"the escrow of buyer {POOR} does not cover the amount: it must deposit" in said
    assert "deposit first: `etp escrow deposit`" in world.do("escrow", "show", "--device-id", str(POOR), status=1)
    world.deposit(POOR, "0.1")
    assert "all trades are on the chain" in settle(world, OTHER_BATTERY)
    trade = world.trade(OTHER_BATTERY, lot)
    assert trade is not None
    assert (trade.status, trade.amount) == (TradeStatus.HELD, AMOUNT)


def test_after_its_time_held_money_is_released_without_the_daemon(world: World, lots: Lots) -> None:
    """`settle retry` of a battery that is switched off takes what is due to it; what the journal did not know yet, it learns;
    and what was disputed is nobody's to dispute any more, or the battery's after 14 days.
    """
    late, open_still = lots.sell(BUYER, OTHER_BUYER)
    settle(world)
    opened(world, open_still, by=OTHER_BUYER)
    world.chain.again(signal.SIGTERM, ahead_s=2 * HOUR_S)
    assert "refused" in opened(world, late, status=1)  # the window is over
    state = ["--state-dir", str(world.state(BATTERY))]
    ahead_of_us = world.by(NAMES[BATTERY])
    ran = world.etp("settle", "retry", *state, *ahead_of_us, "--for-s", "30", ahead_s=2 * HOUR_S)
    assert "all trades are on the chain" in ran
    assert status_of(world, late) is TradeStatus.PAID
    assert status_of(world, open_still) is TradeStatus.DISPUTED
    world.chain.again(signal.SIGTERM, ahead_s=15 * DAY_S)
    world.etp("settle", "retry", *state, *ahead_of_us, "--for-s", "30", ahead_s=15 * DAY_S)
    assert status_of(world, open_still) is TradeStatus.PAID
    states = world.states(BATTERY)
    assert set(states) == {OutboxState.SETTLED, OutboxState.REFUNDED}
    assert "0 differences" in world.do("settle", "reconcile", *state)
    lots_on_chain = world.trades_on_chain(BATTERY)
    paid = [trade for trade in lots_on_chain.values() if trade.status is TradeStatus.PAID]
    assert world.tokens(world.key(NAMES[BATTERY]).public) == sum(trade.amount - trade.fee for trade in paid)
    until(lambda: world.escrow(BUYER).held == 0, 1.0, "an escrow that holds nothing")
