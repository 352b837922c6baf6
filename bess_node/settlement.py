"""What the desk knows of payment: what a trade owes, whom not to trade with, and when to stop (docs/settlement.md)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from contracts import outbox
from etp.clock import Now
from etp.effects import Row
from etp.units import DeviceId, Micro

if TYPE_CHECKING:  # the chain's client takes 0.15 s to import, and most markets settle nothing
    from contracts.reputation import Requirements, Standings


class Gate(Protocol):
    """What the settler says about whom to trade with."""

    def unsettled(self, buyer: DeviceId) -> Micro:
        """What a buyer owes that nothing on the chain is set aside for yet, µ."""

    def refuses(self, buyer: DeviceId) -> bool:
        """Whether that is so much that its bids are to be refused."""

    def stops_lots(self) -> str | None:
        """Why no new lot may be opened; None: nothing is against it."""


class Settlement:
    """Of a market whose trades are paid on a chain. `key_of`: a member's public key."""

    def __init__(
        self,
        key_of: Callable[[int], bytes | None],
        gate: Gate,
        standings: "Standings",
        requirements: "Requirements",
    ) -> None:
        self._key_of, self._gate, self._standings, self._requirements = key_of, gate, standings, requirements

    def owed(self, confirm: bytes, buyer: DeviceId, now: Now) -> Row:
        """The outbox row of a trade, out of its Confirm: it belongs in the transaction that confirms."""
        key = self._key_of(buyer)
        assert key is not None, "a Confirm whose signature was verified has a key"
        return outbox.row(outbox.confirmed(confirm, key, now.wall_us))

    def met(self, buyer: DeviceId) -> None:
        """A buyer has a session: its escrow and its past are looked at from now on, where they are asked for."""
        if self._requirements.ask_anything:
            self._standings.watch(buyer)

    def refuses(self, buyer: DeviceId, bid: Micro, now: Now) -> str | None:
        """Why a bid of `bid` µ does not take part, for what its buyer owes, or for what its escrow and its past are."""
        owed = self._gate.unsettled(buyer)
        if self._gate.refuses(buyer):
            return f"{owed} µ of it are not on the chain yet"
        return self._requirements.reason_against(self._standings.get(buyer, now), owed=owed, bid=bid)

    def stops_lots(self) -> str | None:
        """Why nothing may be sold now."""
        return self._gate.stops_lots()
