"""The invariants of payments bite: one fault planted into sound books of a chain and its batteries, and that fault is named."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from solders.pubkey import Pubkey

from contracts.accounts import Trade, TradeStatus
from contracts.evidence import SHOWN_AS
from contracts.outbox import OUTBOX, OutboxState
from etp.effects import Row
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, Wh
from sim.invariants.payments import MAY_BE, Chain, Deposit, Sales, conserved, payments, sales_of, told, unpaid

BATTERY, BUYER, POOR = 101, 501, 502
FEE_BPS = 25
RECORD = bytes(212)
PRICE = 200_000
END = {TradeStatus.PAID: "settled", TradeStatus.REFUNDED: "refunded"}


def rows_of(lot_id: int, state: str, *, buyer: int = BUYER) -> list[Row]:
    """A trade of 1 kWh and its outbox row."""
    trade: dict[str, int | str] = {
        "bidder": buyer, "energy_wh": 1_000, "price_micro_per_kwh": PRICE, "paid_micro": PRICE
    }  # fmt: skip
    owed: dict[str, int | str] = {"bidder": buyer, "record": RECORD.hex(), "reason": ""}
    return [
        Row("trade", lot_id, "confirmed", 0, trade, str(lot_id)),
        Row("settlement", lot_id, state, 0, owed, str(lot_id)),
    ]


def trade_of(lot_id: int, status: TradeStatus, *, buyer: int = BUYER) -> Trade:
    """What the chain has of it."""
    fee = Micro(PRICE * FEE_BPS // 10_000)
    return Trade(
        DeviceId(BATTERY), LotId(lot_id), DeviceId(buyer), 7, Wh(1_000), MicroPerKwh(PRICE), Micro(PRICE), fee, status,
        0, 0, Pubkey(bytes(32)), sha256(RECORD).digest(),
    )  # fmt: skip


FEE = trade_of(0, TradeStatus.PAID).fee
TRADES = [
    trade_of(1, TradeStatus.PAID),
    trade_of(2, TradeStatus.HELD),
    trade_of(3, TradeStatus.DISPUTED),
    trade_of(4, TradeStatus.REFUNDED),
    trade_of(5, TradeStatus.DEFAULTED, buyer=POOR),
]
ROWS = [
    *rows_of(1, "settled"),
    *rows_of(2, "held"),
    *rows_of(3, "held"),
    *rows_of(4, "refunded"),
    *rows_of(5, "defaulted", buyer=POOR),
    *rows_of(6, "settling"),
]
SOUND = Chain(
    trades=TRADES,
    earned={BATTERY: PRICE - FEE},
    deposits={BUYER: Deposit(10 * PRICE, 7 * PRICE, 2 * PRICE, 9 * PRICE), POOR: Deposit(5, 5, 0, 5)},
    fees=FEE,
    fee_bps=FEE_BPS,
    settled={BATTERY: 1, BUYER: 1, POOR: 0},
    decided={(BATTERY, 4)},
)


def broken(rows: list[Row] = ROWS, chain: Chain = SOUND) -> list[str]:
    """What is, by name."""
    return [each.name for each in payments([sales_of(BATTERY, rows)], chain)]


def with_trade(lot_id: int, **fields: object) -> Chain:
    """The same chain, and one trade otherwise."""
    trades = [each._replace(**fields) if each.lot_id == lot_id else each for each in TRADES]  # type: ignore[arg-type]
    return replace(SOUND, trades=trades)


def test_books_that_are_in_order_are() -> None:
    """Paid, held, disputed, given back, defaulted and not there yet."""
    assert broken() == []


# -- exactly once


def test_what_was_not_sold_is_not_paid() -> None:
    """A trade on the chain that its battery's journal does not know."""
    assert broken(ROWS[2:]) == ["settled_once"]


def test_what_was_sold_is_owed_by_somebody() -> None:
    """A trade without an outbox row."""
    assert broken([row for row in ROWS if (row.kind, row.lot_id) != ("settlement", 6)]) == ["settled_once"]


@pytest.mark.parametrize(
    "fields",
    [{"aggregator": POOR}, {"energy_wh": 999}, {"price": PRICE + 1}, {"record_hash": bytes(32)}],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_paid_is_what_was_agreed(fields: dict[str, object]) -> None:
    """Another buyer, energy, price or record; of a trade that moves no money, so that only this is broken."""
    assert "settled_once" in broken(chain=with_trade(4, **fields))


def test_nothing_is_given_back_but_by_the_arbiter_or_for_want_of_energy() -> None:
    """A battery that delivered keeps its money."""
    assert broken(chain=replace(SOUND, decided=())) == ["settled_once"]
    short = Row("energy", 4, "short", 0, {"energy_wh": 1_000, "delivered_wh": 10}, "4")
    assert broken([*ROWS, short], replace(SOUND, decided=())) == []


@pytest.mark.parametrize("state", [state.value for state in OutboxState])
@pytest.mark.parametrize("status", [None, *TradeStatus])
def test_a_row_says_no_more_than_the_account(state: str, status: TradeStatus | None) -> None:
    """What the chain shows may follow from what the row says, by the outbox's own table; never the other way round."""
    now = OutboxState(state)
    row, trade = rows_of(9, state)[1], None if status is None else trade_of(9, status)
    lies = list(told(BATTERY, row, trade))
    unread = {OutboxState.CONFIRMED, OutboxState.SETTLING, OutboxState.REFUSED}
    ahead = now in unread if status is None else SHOWN_AS[status] is now or SHOWN_AS[status] in OUTBOX[now]
    assert bool(lies) is not ahead
    assert (status in MAY_BE[state]) is not bool(lies)


def test_a_trade_is_over_when_it_is_paid_or_given_back() -> None:
    """All others are named, with the reason of the outbox."""
    sales = sales_of(BATTERY, ROWS)
    assert [int(each.said.split()[1]) for each in unpaid([sales])] == [2, 3, 5, 6]
    assert list(unpaid([Sales(BATTERY, {1: sales.sold[1]}, {})])), "nobody owes it"


# -- to the µ


CHANGES: dict[str, Callable[[Chain], Chain]] = {
    "a battery has more": lambda chain: replace(chain, earned={BATTERY: PRICE - FEE + 1}),
    "the market has less": lambda chain: replace(chain, fees=FEE - 1),
    "a vault lacks": lambda chain: with_deposit(chain, vault=9 * PRICE - 1),
    "an escrow says more": lambda chain: with_deposit(chain, available=7 * PRICE + 1),
    "less is held": lambda chain: with_deposit(chain, held=PRICE),
    "more was put in": lambda chain: with_deposit(chain, deposited=10 * PRICE + 1),
    "a fee is another": lambda _: with_trade(5, fee=FEE + 1),
    "paid twice": lambda chain: replace(chain, trades=[*TRADES, trade_of(1, TradeStatus.PAID)]),
    "counted twice": lambda chain: replace(chain, settled={BATTERY: 2}),
}


def with_deposit(chain: Chain, **fields: int) -> Chain:
    """The same, and the buyer's escrow otherwise."""
    return replace(chain, deposits={**chain.deposits, BUYER: chain.deposits[BUYER]._replace(**fields)})


@pytest.mark.parametrize("name", CHANGES)
def test_no_micro_comes_or_goes(name: str) -> None:
    """One µ, or one trade, anywhere."""
    assert list(conserved(SOUND)) == []
    found = list(conserved(CHANGES[name](SOUND)))
    assert found
    assert {each.name for each in found} == {"money"}
