"""What batteries were paid, beside what they sold: each trade is paid once or given back, and on the chain no µ comes or goes.

Fed with journals, and with all that is final on the chain of one market. Knows no settler: what an outbox row may say of an
account is a table of its own, and sums are made anew from the trades that stand on the chain.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from contracts.accounts import Trade, TradeStatus
from contracts.outbox import KIND, OutboxState
from etp.effects import Row
from sim.invariants.books import Violation, terms, whole

BPS: Final = 10_000
ANYTHING: Final = frozenset({None, *TradeStatus})
SET_ASIDE: Final = frozenset({TradeStatus.HELD, TradeStatus.DISPUTED})
"""The buyer's money is in its vault, and not its to spend."""
OVER: Final = {TradeStatus.PAID: OutboxState.SETTLED.value, TradeStatus.REFUNDED: OutboxState.REFUNDED.value}
"""How a trade can end, and what its outbox row then comes to say."""
MAY_BE: Final[Mapping[str, frozenset[TradeStatus | None]]] = {
    OutboxState.CONFIRMED.value: ANYTHING,  # what was sent may land before anybody reads it back
    OutboxState.SETTLING.value: ANYTHING,
    OutboxState.REFUSED.value: ANYTHING,
    OutboxState.DEFAULTED.value: frozenset(TradeStatus),
    OutboxState.HELD.value: frozenset(TradeStatus) - {TradeStatus.DEFAULTED},
    OutboxState.DISPUTED.value: frozenset({TradeStatus.DISPUTED, TradeStatus.PAID, TradeStatus.REFUNDED}),
    OutboxState.SETTLED.value: frozenset({TradeStatus.PAID}),
    OutboxState.REFUNDED.value: frozenset({TradeStatus.REFUNDED}),
}
"""By outbox state: what the finalized account may be by then, None: not there. The chain may be ahead of the row, never behind it:
what is final is read before it is written down (docs/settlement.md, From promise to payment)."""


class Sold(NamedTuple):
    """What a lot was sold for."""

    buyer: int
    energy: int
    """Wh."""
    price: int
    """µ/kWh."""
    amount: int
    """µ."""


@dataclass(frozen=True, slots=True)
class Sales:
    """What one battery sold, and what its outbox says of each payment. By lot."""

    battery: int
    sold: Mapping[int, Sold]
    outbox: Mapping[int, Row]
    """The newest row of each."""
    short: Collection[int] = ()
    """What it could not deliver in full, and says so to its buyer."""


class Deposit(NamedTuple):
    """A buyer's money on the chain, µ."""

    deposited: int
    """All that it ever put in; none was withdrawn."""
    available: int = 0
    held: int = 0
    vault: int = 0
    """What the escrow's token account holds."""


@dataclass(frozen=True, slots=True)
class Chain:
    """All that is final of one market, at one moment; money in µ. Devices by device_id."""

    trades: Collection[Trade]
    earned: Mapping[int, int]
    """By battery: what its token account holds; it was empty at first."""
    deposits: Mapping[int, Deposit]
    """By buyer."""
    fees: int
    fee_bps: int
    settled: Mapping[int, int] = field(default_factory=dict)
    """By device: the trades that its participant's account counts as paid; nothing is asked of those that are not in it."""
    decided: Collection[tuple[int, int]] = ()
    """Battery and lot of what the arbiter decided for the buyer."""


def sales_of(battery: int, rows: Iterable[Row]) -> Sales:
    """A battery's journal, read."""
    sold: dict[int, Sold] = {}
    outbox: dict[int, Row] = {}
    short: set[int] = set()
    for row in rows:
        if row.kind == "trade":
            sold[row.lot_id] = Sold(whole(row, "bidder"), *terms(row), whole(row, "paid_micro"))
        elif row.kind == KIND:
            outbox[row.lot_id] = row
        elif (row.kind, row.state) == ("energy", "short"):
            short.add(row.lot_id)
    return Sales(battery, sold, outbox, short)


def payments(sales: Iterable[Sales], chain: Chain) -> Iterator[Violation]:
    """All that is not as it must be, at any time."""
    yield from conserved(chain)
    for each in sales:
        paid: dict[int, Trade] = {trade.lot_id: trade for trade in chain.trades if trade.battery == each.battery}
        yield from _settled_once(each, paid)
        yield from _given_back(each, paid, chain.decided)


def unpaid(sales: Iterable[Sales]) -> Iterator[Violation]:
    """Trades that are neither paid nor given back: none may be left once all is well and was waited for."""
    for battery, sold, outbox in ((each.battery, each.sold, each.outbox) for each in sales):
        for lot_id in sold:
            row = outbox.get(lot_id)
            if row is None or row.state not in OVER.values():
                said = "in no outbox" if row is None else f"{row.state}: {row.body['reason']}"
                yield Violation("settled_once", battery, f"lot {lot_id} is neither paid nor given back; it is {said}")


def told(battery: int, row: Row, trade: Trade | None) -> Iterator[Violation]:
    """An outbox row says what the chain does not; `trade`: the finalized account at the moment when it is said."""
    status = None if trade is None else trade.status
    if status not in MAY_BE[row.state]:
        there = "not there" if status is None else status.name.lower()
        said = f"the payment of lot {row.lot_id} is {row.state} in the outbox; the finalized account is {there}"
        yield Violation("settled_once", battery, said)


def _settled_once(sales: Sales, paid: Mapping[int, Trade]) -> Iterator[Violation]:
    """What is paid was sold, once and for what was agreed; what was sold is paid, or is owed in the outbox."""
    battery = sales.battery
    for lot_id in sorted(paid.keys() - sales.sold.keys()):
        yield Violation("settled_once", battery, f"lot {lot_id} is on the chain, and was not sold")
    for lot_id, sold in sales.sold.items():
        row, trade = sales.outbox.get(lot_id), paid.get(lot_id)
        if row is None:
            yield Violation("settled_once", battery, f"the trade of lot {lot_id} is owed by nobody")
            continue
        yield from told(battery, row, trade)
        if trade is None:
            continue
        agreed = Sold(trade.aggregator, trade.energy_wh, trade.price, trade.amount)
        if agreed != sold:
            yield Violation("settled_once", battery, f"lot {lot_id} was sold as {sold}; the chain has {agreed}")
        if trade.record_hash != sha256(bytes.fromhex(str(row.body["record"]))).digest():
            yield Violation("settled_once", battery, f"lot {lot_id} is on the chain by another record than its Confirm")


def _given_back(sales: Sales, paid: Mapping[int, Trade], decided: Collection[tuple[int, int]]) -> Iterator[Violation]:
    """A buyer has its money back on the arbiter's word, or on the battery's own that it could not deliver."""
    for lot_id, trade in paid.items():
        rightly = lot_id in sales.short or (sales.battery, lot_id) in decided
        if trade.status is TradeStatus.REFUNDED and not rightly:
            said = f"lot {lot_id} was given back; it was delivered, and no arbiter said so"
            yield Violation("settled_once", sales.battery, said)


def conserved(chain: Chain) -> Iterator[Violation]:
    """Every µ that was put in is in a vault, with a battery or with the market; each of them has what its trades say."""
    put_in = sum(each.deposited for each in chain.deposits.values())
    vaults, earned = sum(each.vault for each in chain.deposits.values()), sum(chain.earned.values())
    if put_in != vaults + earned + chain.fees:
        said = f"{put_in} µ were put in; vaults hold {vaults}, batteries {earned}, the market {chain.fees} µ"
        yield Violation("money", 0, said)
    for trade in chain.trades:
        fee = trade.amount * chain.fee_bps // BPS
        if trade.fee != fee:
            yield Violation("money", trade.battery, f"the fee of lot {trade.lot_id} is {trade.fee} µ, not {fee}")
    paid = [trade for trade in chain.trades if trade.status is TradeStatus.PAID]
    for battery, holds in chain.earned.items():
        brought = sum(trade.amount - trade.fee for trade in paid if trade.battery == battery)
        if holds != brought:
            yield Violation("money", battery, f"its token account holds {holds} µ; its trades brought {brought} µ")
    for buyer, deposit in chain.deposits.items():
        yield from _escrow(buyer, deposit, [trade for trade in chain.trades if trade.aggregator == buyer])
    for device, counted in chain.settled.items():
        ended = sum(device in (trade.battery, trade.aggregator) for trade in paid)
        if counted != ended:
            yield Violation("money", device, f"{counted} trades are counted as paid; {ended} are")


def _escrow(buyer: int, deposit: Deposit, trades: Iterable[Trade]) -> Iterator[Violation]:
    """A buyer's escrow holds what it put in, less what its trades cost; what is set aside is there for them."""
    amounts = [(trade.status, trade.amount) for trade in trades]
    held = sum(amount for status, amount in amounts if status in SET_ASIDE)
    available = deposit.deposited - held - sum(amount for status, amount in amounts if status is TradeStatus.PAID)
    if (deposit.available, deposit.held, deposit.vault) != (available, held, available + held):
        said = f"its escrow should have {available} µ and hold {held} µ; it says {deposit._asdict()}"
        yield Violation("money", buyer, said)
