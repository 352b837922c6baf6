"""What the RPCs have said about one transaction and its trade, and what may be concluded from it. No RPC is believed alone
where there are others, nor is a minority that is left in use. Absence counts only once a transaction cannot land any more
(docs/settlement.md, From promise to payment).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from contracts.accounts import Trade, TradeStatus
from contracts.outbox import DONE_IN, Act, OutboxState
from contracts.rpc import SignatureStatus

SHOWN_AS: Final[dict[TradeStatus, OutboxState]] = {
    TradeStatus.HELD: OutboxState.HELD,
    TradeStatus.PAID: OutboxState.SETTLED,
    TradeStatus.DEFAULTED: OutboxState.DEFAULTED,
    TradeStatus.REFUNDED: OutboxState.REFUNDED,
    TradeStatus.DISPUTED: OutboxState.DISPUTED,
}
"""What the outbox calls a trade's status."""


EFFECT: Final[dict[Act, frozenset[TradeStatus]]] = {
    act: frozenset(status for status, state in SHOWN_AS.items() if state in done) for act, done in DONE_IN.items()
}
"""act → the statuses of a trade in which it has nothing left to do."""


@dataclass(slots=True)
class Reading:
    """What one RPC said last. `…_height`: its own finalized height, known before it was asked; -1: not asked yet."""

    status: SignatureStatus | None = None
    status_height: int = -1
    trade: Trade | None = None
    trade_height: int = -1

    @property
    def shows_none(self) -> bool:
        """Whether it was asked for the trade and showed none."""
        return self.trade is None and self.trade_height >= 0

    def forget_transaction(self) -> None:
        """There is a new transaction, whose fate was not asked yet."""
        self.status, self.status_height = None, -1
        self.trade_height = -1

    def is_dead(self, act: Act, last_valid_height: int) -> bool:
        """Whether by this RPC the transaction had no effect and cannot have one: asked past its last height, and nothing is there.

        A transaction that landed and failed is as dead as one that never landed.
        """
        asked_too_early = min(self.status_height, self.trade_height) <= last_valid_height
        may_have_worked = self.status is not None and self.status.error is None
        shows_effect = self.trade is not None and self.trade.status in EFFECT[act]
        return not (asked_too_early or may_have_worked or shows_effect)


class Verdict(NamedTuple):
    """What follows from all readings."""

    trade: Trade | None = None
    """On the chain, as more than half of all RPCs say."""
    dead: bool = False
    """The transaction had no effect and cannot have one, as all say that are asked, and those are more than half."""
    disagree: bool = False
    """Some show the trade, and others say that it cannot come any more."""
    too_few: bool = False
    """Those that are asked would say what became of the transaction, but they are not more than half."""
    gone: bool = False
    """All that are asked show no trade, and those are more than half."""


def verdict(readings: Sequence[Reading], act: Act | None, last_valid_height: int, *, rpcs: int) -> Verdict:
    """Judge the readings of those RPCs that are in use.

    A majority is one of all RPCs there are (`rpcs`), not of those in use: else a liar decides alone as soon as the others
    are down. Waiting for them costs nothing but the outbox's knowledge.
    """
    enough = is_most(len(readings), rpcs)
    agreed = most((reading.trade for reading in readings), rpcs)
    gone = enough and all(reading.shows_none for reading in readings)
    if act is None or (agreed is not None and agreed.status in EFFECT[act]):
        return Verdict(agreed, gone=gone)
    dead = [reading.is_dead(act, last_valid_height) for reading in readings]
    shown = any(reading.trade is not None and reading.trade.status in EFFECT[act] for reading in readings)
    all_dead = bool(dead) and all(dead)
    return Verdict(
        agreed,
        dead=enough and all_dead,
        disagree=shown and any(dead),
        too_few=not enough and (all_dead or shown),
        gone=gone,
    )


def is_most(count: int, rpcs: int) -> bool:
    """Whether so many are more than half of all RPCs."""
    return 2 * count > rpcs


def most(trades: Iterable[Trade | None], rpcs: int) -> Trade | None:
    """The trade that more than half of all RPCs show."""
    counts = Counter(trade for trade in trades if trade is not None)
    return next((trade for trade, count in counts.items() if is_most(count, rpcs)), None)


class Promised(Protocol):
    """What both sides of a trade must say alike."""

    @property
    def lot_id(self) -> int:
        """The lot."""

    @property
    def buyer(self) -> int:
        """Its buyer's device_id."""

    @property
    def message_id(self) -> int:
        """Of the Confirm."""

    @property
    def energy(self) -> int:
        """Wh."""

    @property
    def price(self) -> int:
        """µ/kWh."""

    @property
    def amount(self) -> int:
        """µ."""

    @property
    def record_hash(self) -> bytes:
        """SHA-256 of the Confirm record."""


def differences(entry: Promised, trade: Trade, battery_id: int) -> Mapping[str, tuple[object, object]]:
    """Where the chain says something else than the outbox: field → (outbox, chain)."""
    ours: dict[str, object] = {
        "battery": battery_id,
        "lot_id": entry.lot_id,
        "aggregator": entry.buyer,
        "message_id": entry.message_id,
        "energy_wh": entry.energy,
        "price": entry.price,
        "amount": entry.amount,
        "record_hash": entry.record_hash,
    }
    return {name: (value, getattr(trade, name)) for name, value in ours.items() if getattr(trade, name) != value}
