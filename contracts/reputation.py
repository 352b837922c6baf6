"""Whose bids take part: a buyer's escrow and how its trades went, as the chain shows them (docs/settlement.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.accounts import Escrow, Participant, ParticipantRole, read
from contracts.addresses import Place
from contracts.errors import ContractsError
from contracts.exposure import free
from contracts.interface import Interface
from contracts.rpc import MAX_ACCOUNTS, Account, Accounts, GetAccounts
from etp.clock import Now
from etp.units import DeviceId, Micro, MonotonicS

STALE_S: Final = 60.0
"""A standing that was not read for so long counts as unknown, s: RPCs that are down must not keep a defaulter in."""
MAX_BUYERS: Final = 1_200
"""Buyers that are watched: as many as there are sessions."""


def reputation(participant: Participant) -> float:
    """Share of trades that were settled, 0..1, Laplace-smoothed: (settled + 1) / (settled + defaulted + lost + 2).

    A newcomer has one half, so that a bad past is not mended by a new device_id.
    """
    ended_badly = participant.defaulted + participant.lost
    return (participant.settled + 1) / (participant.settled + ended_badly + 2)


class Standing(NamedTuple):
    """What the chain says of a buyer."""

    escrow: Micro
    """What its escrow can pay for sure, µ."""
    reputation: float
    is_active: bool
    """Registered as an aggregator, and not revoked."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a battery asks of those whose bids take part."""

    minimum_escrow: Micro = Micro(0)
    """µ."""
    minimum_reputation: float = 0.0
    """0..1; a newcomer has 0.5."""

    def __post_init__(self) -> None:
        if self.minimum_escrow < 0:
            raise ValueError(f"minimum_escrow is {self.minimum_escrow}: expected 0 µ or more")
        if not 0 <= self.minimum_reputation < 1:
            raise ValueError(f"minimum_reputation is {self.minimum_reputation}: expected 0 or more, and less than 1")

    @property
    def ask_anything(self) -> bool:
        """Whether a standing is needed at all."""
        return self.minimum_escrow > 0 or self.minimum_reputation > 0

    def reason_against(self, standing: Standing | None, *, owed: Micro, bid: Micro) -> str | None:
        """Why a bid of `bid` µ by a buyer that owes us `owed` µ does not take part, in words; None: it does."""
        if standing is None:
            return (
                "the chain's word on this buyer is not known (yet): the RPCs may be down" if self.ask_anything else None
            )
        if not standing.is_active:
            return "this buyer is not registered in this market as an aggregator, or was revoked"
        if self.minimum_escrow and standing.escrow < max(self.minimum_escrow, owed + bid):
            wanted = max(self.minimum_escrow, owed + bid)
            return f"its escrow can pay {standing.escrow} µ; {wanted} µ are asked for: it must deposit"
        if standing.reputation < self.minimum_reputation:
            return f"its reputation is {standing.reputation:.3f}; {self.minimum_reputation:.3f} is asked for"
        return None


class Standings:
    """The buyers a battery watches. Bounded: of more than MAX_BUYERS, the one looked at longest ago makes room."""

    def __init__(self, interface: Interface, place: Place) -> None:
        self._interface, self._place = interface, place
        self._watched: dict[DeviceId, tuple[Standing, MonotonicS] | None] = {}

    def watch(self, buyer: DeviceId) -> None:
        """Look at this buyer from now on."""
        known = self._watched.pop(buyer, None)
        if len(self._watched) >= MAX_BUYERS:
            del self._watched[next(iter(self._watched))]
        self._watched[buyer] = known

    def forget(self, buyer: DeviceId) -> None:
        """It has gone."""
        self._watched.pop(buyer, None)

    def get(self, buyer: DeviceId, now: Now) -> Standing | None:
        """What is known of a buyer, unless that is too old."""
        known = self._watched.get(buyer)
        return known[0] if known is not None and now.monotonic_s - known[1] <= STALE_S else None

    def requests(self) -> list[tuple[GetAccounts, tuple[DeviceId, ...]]]:
        """What to ask every RPC: participant and escrow of each buyer."""
        listed, size = list(self._watched), MAX_ACCOUNTS // 2
        parts = [tuple(listed[at : at + size]) for at in range(0, len(listed), size)]
        place = self._place
        return [
            (GetAccounts(tuple(a for buyer in part for a in (place.participant(buyer), place.escrow(buyer)))), part)
            for part in parts
        ]

    def take(self, buyers: Sequence[DeviceId], answers: Sequence[Accounts], now: Now) -> None:
        """What the RPCs that answered say to one of `requests`: of several words the worst counts."""
        for number, buyer in enumerate(buyers):
            said = [self._standing(*answer.found[2 * number : 2 * number + 2]) for answer in answers]
            if said and buyer in self._watched:
                self._watched[buyer] = (_worst(said), now.monotonic_s)

    def _standing(self, participant: Account | None, escrow: Account | None) -> Standing:
        program_id = self._place.program_id
        try:
            known = read(self._interface, program_id, Participant, participant) if participant else None
            money = read(self._interface, program_id, Escrow, escrow) if escrow else None
        except ContractsError:
            known = money = None  # an RPC that shows what is no account of ours shows nothing
        if known is None:
            return Standing(Micro(0), 0.0, is_active=False)
        is_active = known.role == ParticipantRole.AGGREGATOR and not known.revoked_at
        return Standing(free(money), reputation(known), is_active)


def _worst(said: Iterable[Standing]) -> Standing:
    listed = list(said)
    return Standing(
        min(one.escrow for one in listed),
        min(one.reputation for one in listed),
        is_active=all(one.is_active for one in listed),
    )
