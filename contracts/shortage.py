"""Escrows that were too short: looked at again and again, less with age, until none of the buyer's trades waits for it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from contracts.accounts import Escrow, decode
from contracts.addresses import Place
from contracts.evidence import is_most
from contracts.interface import Interface
from contracts.links import Ask, Link, in_use
from contracts.outbox import Entry
from contracts.rpc import MAX_ACCOUNTS, Account, Accounts, GetAccounts
from contracts.settler_limits import SettlerLimits, SettlerTiming
from etp.agenda import Agenda
from etp.clock import Now
from etp.units import DeviceId, LotId, MonotonicS

PURPOSE: Final = "escrows"
"""Of its questions."""
GROWTH: Final = 1.2
"""Each look comes so much later than the one before."""


class Shortage:
    """See the module. `still_short(lot_id)`: whether a trade still waits for its buyer's escrow."""

    def __init__(
        self,
        interface: Interface,
        place: Place,
        still_short: Callable[[LotId], bool],
        *,
        timing: SettlerTiming,
        limits: SettlerLimits,
    ) -> None:
        self._interface, self._place, self._still_short = interface, place, still_short
        self._timing, self._limits = timing, limits
        self._agenda: Agenda[DeviceId] = Agenda()
        self._looks: dict[DeviceId, int] = {}
        self._lots: dict[DeviceId, set[LotId]] = {}
        self._available: dict[DeviceId, dict[int, int]] = {}
        """By buyer and RPC: what its escrow can pay, µ."""

    def look(self, entry: Entry, now: Now) -> None:
        """Look at the escrow of this trade's buyer from now on."""
        self._lots.setdefault(entry.buyer, set()).add(entry.lot_id)
        if entry.buyer not in self._looks:
            self._looks[entry.buyer] = 0
            self._agenda.set(entry.buyer, now.monotonic_s)

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to ask."""
        return self._agenda.next()

    def advance(self, links: Sequence[Link], now: Now) -> list[Ask]:
        """Ask the RPCs in use for the escrows whose time has come."""
        wanted = [buyer for buyer in list(self._agenda.pop_due(now.monotonic_s)) if self._waits(buyer)]
        for buyer in wanted:
            self._looks[buyer] += 1
            delay_s = min(self._timing.escrow_s * GROWTH ** min(self._looks[buyer], 64), self._timing.watch_s)
            self._agenda.set(buyer, MonotonicS(now.monotonic_s + delay_s))
        asks: list[Ask] = []
        for link in links:
            for at in range(0, len(wanted), MAX_ACCOUNTS):
                if link.polls_in_flight >= self._limits.polls_in_flight:
                    break  # the next look asks for them
                part = wanted[at : at + MAX_ACCOUNTS]
                link.polls_in_flight += 1
                addresses = tuple(self._place.escrow(buyer) for buyer in part)
                asks.append(Ask(link.number, GetAccounts(addresses), PURPOSE, tuple(part)))
        return asks

    def _waits(self, buyer: DeviceId) -> bool:
        """Whether any of its trades still does; else it is forgotten."""
        short = {lot_id for lot_id in self._lots.get(buyer, ()) if self._still_short(lot_id)}
        self._lots[buyer] = short
        if not short:
            del self._lots[buyer]
            self._looks.pop(buyer, None)
            self._available.pop(buyer, None)
        return bool(short)

    def take(self, ask: Ask, answer: Accounts) -> Iterable[LotId]:
        """What an RPC shows; the trades that wait for these escrows. Raises ContractsError for what is no escrow."""
        held = [self._available_in(account) for account in answer.found]
        lots: list[LotId] = []
        for key, available in zip(ask.keys, held, strict=True):
            buyer = DeviceId(key)
            if buyer in self._lots:
                self._available.setdefault(buyer, {})[ask.rpc] = available
                lots += self._lots[buyer]
        return lots

    def _available_in(self, account: Account | None) -> int:
        """What an escrow holds that is not set aside, µ; 0 where there is none."""
        if account is None or account.owner != self._place.program_id:
            return 0
        return decode(self._interface, Escrow, account.data).available

    def can_pay(self, entry: Entry, usable: Sequence[Link]) -> bool:
        """Whether more than half of the RPCs in use show an escrow that covers it: a hint to try, which costs a fee at most."""
        return is_most(sum(available >= entry.amount for available in self._seen(entry, usable)), len(usable))

    def cannot_pay(self, entry: Entry, links: Sequence[Link]) -> bool:
        """Whether the RPCs in use, and those are more than half of all, show an escrow that does not cover it."""
        usable = in_use(links)
        seen = self._seen(entry, usable)
        complete = len(seen) == len(usable) and is_most(len(seen), len(links))
        return complete and all(available < entry.amount for available in seen)

    def _seen(self, entry: Entry, links: Sequence[Link]) -> list[int]:
        seen = self._available.get(entry.buyer, {})
        return [seen[link.number] for link in links if link.number in seen]
