"""What a demo reads of its chain is judged by the invariants of payments: a µ more or less anywhere, or a trade unpaid, is told."""

from dataclasses import replace
from hashlib import sha256

from solders.pubkey import Pubkey

from cli.demo.audit import unpaid
from cli.demo.chain import ESCROW, FEE_BPS, Ledger, Paid
from contracts.accounts import Escrow, Trade, TradeStatus
from etp.effects import Row
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, Wh
from sim.invariants import BatteryBooks, Books

BATTERY, BUYER, COST = DeviceId(101), DeviceId(501), Micro(200_000)
FEE = Micro(COST * FEE_BPS // 10_000)
RECORD = bytes(212)


def books(state: str = "settled") -> Books:
    """One trade of 1 kWh, and where its payment stands."""
    terms = {"bidder": BUYER, "energy_wh": 1_000, "price_micro_per_kwh": COST, "paid_micro": COST}
    rows = [
        Row("trade", 1, "confirmed", 0, terms, "1"),
        Row("settlement", 1, state, 0, {"bidder": BUYER, "record": RECORD.hex(), "reason": "it waits"}, "1"),
    ]
    return Books([BatteryBooks(BATTERY, rows, [], MicroPerKwh(1), "english", lambda _: Wh(10_000))], [])


def ledger() -> Ledger:
    """The chain after it."""
    paid = Trade(
        BATTERY, LotId(1), BUYER, 7, Wh(1_000), MicroPerKwh(COST), COST, FEE, TradeStatus.PAID,
        0, 0, Pubkey(bytes(32)), sha256(RECORD).digest(),
    )  # fmt: skip
    left = Micro(ESCROW - COST)
    return Ledger(
        batteries={BATTERY: Paid(Micro(COST - FEE), 1)},
        escrows={BUYER: Escrow(BUYER, left, Micro(0), Micro(0), 0)},
        vaults={BUYER: left},
        trades=[paid],
        fees=FEE,
        disputed=0,
        defaulted=0,
    )


def test_a_chain_that_holds_what_the_journals_say_is_in_order() -> None:
    """Paid once, to the µ."""
    assert unpaid(books(), ledger()) == []


def test_a_micro_that_is_not_accounted_for_is_told() -> None:
    """With the battery, in a vault, or with the market; and a chain that could not be read."""
    for wrong in (
        ledger()._replace(batteries={BATTERY: Paid(Micro(COST - FEE + 1), 1)}),
        ledger()._replace(batteries={BATTERY: Paid(Micro(COST - FEE), 2)}),
        ledger()._replace(vaults={BUYER: Micro(1)}),
        ledger()._replace(fees=Micro(FEE - 1)),
    ):
        assert {each.name for each in unpaid(books(), wrong)} == {"money"}
    assert [each.name for each in unpaid(books(), None)] == ["money"]


def test_a_trade_that_is_not_paid_is_told() -> None:
    """In the outbox, or not sold at all."""
    assert [each.name for each in unpaid(books("settling"), ledger())] == ["settled_once"]
    nothing = Books([replace(books().batteries[0], rows=[])], [])
    assert [each.name for each in unpaid(nothing, ledger())] == ["settled_once"]
