"""Does the chain hold what the outbox says? Compared whole, every five minutes and at start (docs/settlement.md)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from contracts.accounts import Market, Trade, TradeStatus, decode
from contracts.addresses import Address
from contracts.evidence import differences
from contracts.interface import DISCRIMINATOR_SIZE, Interface
from contracts.outbox import FINAL, KIND, UNSETTLED, OutboxState, entry_of
from contracts.rpc import GetTrades, TradeAccounts
from etp.effects import Row
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, WallUs, Wh

PERIOD_S: Final = 300.0
"""Between two comparisons, s."""
SETTLING_IN_S: Final = 60
"""What changed so recently may not be at every RPC yet, s."""
DAY_S: Final = 86_400
MICRO: Final = 1_000_000
MARKET_AT: Final = DISCRIMINATOR_SIZE + 1
BATTERY_AT: Final = MARKET_AT + 32
"""Where a Trade account has its market and its battery: behind the bump."""

MAY_BE: Final[dict[OutboxState, frozenset[TradeStatus]]] = {
    OutboxState.CONFIRMED: frozenset(TradeStatus),
    OutboxState.SETTLING: frozenset(TradeStatus),
    OutboxState.REFUSED: frozenset(TradeStatus),
    OutboxState.DEFAULTED: frozenset(TradeStatus),
    OutboxState.HELD: frozenset(TradeStatus) - {TradeStatus.DEFAULTED},
    OutboxState.DISPUTED: frozenset(TradeStatus) - {TradeStatus.DEFAULTED, TradeStatus.HELD},
    OutboxState.SETTLED: frozenset({TradeStatus.PAID}),
    OutboxState.REFUNDED: frozenset({TradeStatus.REFUNDED}),
}
"""What the chain may show by now of what the outbox calls so."""


class Expected(NamedTuple):
    """What the journal says of one lot's settlement."""

    lot_id: LotId
    buyer: DeviceId
    message_id: int
    energy: Wh
    price: MicroPerKwh
    amount: Micro
    record_hash: bytes
    state: OutboxState
    changed_us: WallUs


class Difference(NamedTuple):
    """Something that must not be: of which kind, about which lot, in words."""

    kind: str
    """unknown | missing | other | state"""
    lot_id: LotId
    words: str


class Books:
    """The outbox as the journal has it, taken in row by row; what may be closed on the chain by now is forgotten."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.last_lot = 0
        self.expected: dict[LotId, Expected] = {}

    def take(self, rows: Iterable[tuple[int, Row]]) -> None:
        """Rows in journal order, with their seq."""
        for seq, row in rows:
            self.last_seq = seq
            self.last_lot = max(self.last_lot, row.lot_id)
            if row.kind == KIND:
                e = entry_of(row)
                self.expected[e.lot_id] = Expected(
                    e.lot_id, e.buyer, e.message_id, e.energy, e.price, e.amount, e.record_hash, e.state, e.changed_us
                )

    def forget(self, market: Market, now_us: WallUs) -> None:
        """Drop what is over and may be closed on the chain."""
        over = [
            e.lot_id for e in self.expected.values() if e.state in FINAL and may_be_closed(e.message_id, market, now_us)
        ]
        for lot_id in over:
            del self.expected[lot_id]


def may_be_closed(message_id: int, market: Market, now_us: WallUs) -> bool:
    """Whether a Trade's account may be gone by now (docs/settlement.md, Program: close_trade)."""
    return now_us >= message_id + (market.settle_window + market.dispute_window + DAY_S) * MICRO


def request(interface: Interface, program_id: Address, market: Address, battery_id: int) -> GetTrades:
    """Asks for all trades of a battery in a market."""
    return GetTrades(
        program_id,
        (
            (0, interface.discriminator("Trade")),
            (MARKET_AT, bytes(market)),
            (BATTERY_AT, battery_id.to_bytes(8, "little")),
        ),
    )


def trades_in(interface: Interface, answer: TradeAccounts) -> list[Trade]:
    """The trades that an RPC shows. Raises ContractsError."""
    return [decode(interface, Trade, data) for _, data in answer.found]


def compare(
    books: Books, trades: Iterable[Trade], market: Market, *, battery_id: int, asked_us: WallUs
) -> tuple[Difference, ...]:
    """Every difference between the journal (read after) and what one RPC showed (asked at `asked_us`)."""
    shown = {trade.lot_id: trade for trade in trades}
    found = [
        difference for trade in shown.values() for difference in _about(books, trade, market, battery_id, asked_us)
    ]
    return (*found, *_missing(books.expected, shown, market, asked_us))


def _about(books: Books, trade: Trade, market: Market, battery_id: int, asked_us: WallUs) -> Iterable[Difference]:
    known = books.expected.get(trade.lot_id)
    if known is None and trade.lot_id > books.last_lot:
        words = (
            f"the chain has a trade of lot {trade.lot_id}, above our last one, {books.last_lot}: the journal is older"
        )
        yield Difference("unknown", trade.lot_id, f"{words} than the chain; was it restored from a copy?")
    elif known is None and not may_be_closed(trade.message_id, market, asked_us):
        yield Difference("unknown", trade.lot_id, f"the chain has a trade of lot {trade.lot_id}, the journal has none")
    elif known is not None:
        other = differences(known, trade, battery_id)
        said = ", ".join(f"{name} is {theirs!r}, not {ours!r}" for name, (ours, theirs) in other.items())
        if other:
            yield Difference("other", trade.lot_id, f"the chain has lot {trade.lot_id} with other content: {said}")
        elif trade.status not in MAY_BE[known.state]:
            words = f"lot {trade.lot_id} is {known.state.value} in the journal and {trade.status.name} on the chain"
            yield Difference("state", trade.lot_id, words)


def _missing(
    expected: Mapping[LotId, Expected], shown: Mapping[LotId, Trade], market: Market, asked_us: WallUs
) -> Iterable[Difference]:
    for known in expected.values():
        fresh = known.changed_us > asked_us - SETTLING_IN_S * MICRO
        if known.state in UNSETTLED or known.lot_id in shown or fresh:
            continue
        if not may_be_closed(known.message_id, market, asked_us):
            words = f"lot {known.lot_id} is {known.state.value} in the journal, and the chain has no trade of it"
            yield Difference("missing", known.lot_id, words)


def agreed(found: Sequence[tuple[Difference, ...]]) -> tuple[Difference, ...]:
    """The differences that more than half of the RPCs that answered show: one that lies cannot stop a battery alone."""
    counts = Counter(difference for differences_of_one in found for difference in set(differences_of_one))
    return tuple(difference for difference, count in counts.items() if 2 * count > len(found))
