"""How much a buyer may still bid for: what its escrow can pay, less what it owes and what its live bids could cost.

The rule is docs/settlement.md's: available − confirmed and unsettled − live bids ≥ 0. An escrow bounds what sellers can lose
to a buyer that trades with many at once; it does not guarantee it. Read at finalized, and believed only as far as all RPCs
that answer say so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.accounts import Escrow, Trade, TradeStatus, read
from contracts.addresses import Place
from contracts.errors import ContractsError
from contracts.interface import Interface
from contracts.rpc import MAX_ACCOUNTS, Account, Accounts, GetAccounts
from etp.clock import Now
from etp.units import DeviceId, LotId, Micro

MICRO: Final = 1_000_000
AHEAD_S: Final = 60
"""A message may be stamped so far ahead of the chain's clock, s: it settles so much longer (docs/settlement.md, Program)."""
MAX_UNSETTLED: Final = 50_000
"""Trades that are watched; beyond it there is no room for more bids."""


def free(escrow: Escrow | None) -> Micro:
    """What an escrow can pay for sure, µ: what is available, less what may be withdrawn before it is asked for."""
    if escrow is None:
        return Micro(0)
    return Micro(max(0, escrow.available - escrow.withdrawal_amount))


def room(escrow: Escrow | None, *, unsettled: Micro, live: Micro) -> Micro:
    """What may still be bid for, µ: never below 0."""
    return Micro(max(0, free(escrow) - unsettled - live))


@dataclass(frozen=True, slots=True)
class Owed:
    """A confirmed trade whose payment was not seen yet."""

    battery: DeviceId
    lot_id: LotId
    amount: Micro
    settles_until_us: int
    """After this the program refuses it: nothing is owed any more on the chain."""


class Exposure:
    """A buyer's escrow and what it owes. `requests` and `take` belong together: each request's accounts are of one slot, so
    that a trade is taken off what is owed exactly when the escrow that paid it is taken over.
    """

    def __init__(self, interface: Interface, place: Place, device_id: DeviceId, *, settle_window_s: int) -> None:
        self.escrow: Escrow | None = None
        self.trouble: str | None = "the escrow was not read yet"
        """Why there is no room, in words; None: nothing is wrong."""
        self._interface, self._place, self._device_id = interface, place, device_id
        self._settle_window_s = settle_window_s
        self._owed: dict[tuple[DeviceId, LotId], Owed] = {}
        self._sum = 0

    @property
    def unsettled(self) -> Micro:
        """What is confirmed and not seen to be paid, µ."""
        return Micro(self._sum)

    def room(self, live: Micro) -> Micro:
        """What may still be bid for beside `live` µ of live bids and promises."""
        if self.trouble is not None or len(self._owed) >= MAX_UNSETTLED:
            return Micro(0)
        return room(self.escrow, unsettled=self.unsettled, live=live)

    def confirmed(self, battery: DeviceId, lot_id: LotId, amount: Micro, message_id: int) -> None:
        """We confirmed a trade; `message_id` is the Confirm's. Known ones stay as they are."""
        if (battery, lot_id) not in self._owed:
            until_us = message_id + (self._settle_window_s + AHEAD_S) * MICRO
            self._owed[battery, lot_id] = Owed(battery, lot_id, amount, until_us)
            self._sum += amount

    def dropped(self, battery: DeviceId, lot_id: LotId) -> None:
        """There was no trade after all."""
        owed = self._owed.pop((battery, lot_id), None)
        self._sum -= owed.amount if owed else 0

    def requests(self, now: Now) -> list[tuple[GetAccounts, tuple[Owed, ...]]]:
        """What to ask every RPC: the escrow, and trades of which it may have paid some."""
        for owed in [owed for owed in self._owed.values() if owed.settles_until_us < now.wall_us]:
            self.dropped(owed.battery, owed.lot_id)
        listed, size = list(self._owed.values()), MAX_ACCOUNTS - 1
        parts = [tuple(listed[at : at + size]) for at in range(0, len(listed), size)] or [()]
        escrow = self._place.escrow(self._device_id)
        return [
            (GetAccounts((escrow, *(self._place.trade(owed.battery, owed.lot_id) for owed in part))), part)
            for part in parts
        ]

    def take(self, owed: Sequence[Owed], answers: Sequence[Accounts]) -> None:
        """What the RPCs that answered say to one of `requests`.

        Without any, the escrow that was last seen still bounds what is bid: all that is confirmed meanwhile stays owed.
        """
        if not answers:
            if self.escrow is None:
                self.trouble = "no RPC shows the escrow: is one running, are their URLs right?"
            return
        try:
            escrows = [self._read_escrow(answer.found[0]) for answer in answers]
            paid = [self._paid(owed, answer.found[1:]) for answer in answers]
        except ContractsError as error:
            self.trouble = str(error)
            return
        least = min(escrows, key=free)
        self.escrow = least
        self.trouble = None if least is not None else "there is no escrow yet: `etp escrow deposit` makes one"
        for trade in set.intersection(*paid):
            self.dropped(trade.battery, trade.lot_id)

    def _read_escrow(self, account: Account | None) -> Escrow | None:
        return None if account is None else read(self._interface, self._place.program_id, Escrow, account)

    def _paid(self, owed: Sequence[Owed], accounts: Iterable[Account | None]) -> set[Owed]:
        """What is on the chain other than as a default: the escrow has set it aside or paid it."""
        found: set[Owed] = set()
        for trade, account in zip(owed, accounts, strict=True):
            if account is None or account.owner != self._place.program_id:
                continue
            status = read(self._interface, self._place.program_id, Trade, account).status
            if status is not TradeStatus.DEFAULTED:
                found.add(trade)
        return found
