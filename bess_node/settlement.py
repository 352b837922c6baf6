"""What the desk knows of payment: what a trade owes, whom not to trade with, and when to stop (docs/settlement.md)."""

from collections.abc import Callable
from typing import Protocol

from contracts import outbox
from etp.clock import Now
from etp.effects import Row
from etp.units import DeviceId


class Gate(Protocol):
    """What the settler says about whom to trade with."""

    def refuses(self, buyer: DeviceId) -> bool:
        """Whether a buyer's bids are to be refused."""

    def stops_lots(self) -> str | None:
        """Why no new lot may be opened; None: nothing is against it."""


class Settlement:
    """Of a market whose trades are paid on a chain. `key_of`: a member's public key."""

    def __init__(self, key_of: Callable[[int], bytes | None], gate: Gate) -> None:
        self._key_of, self._gate = key_of, gate

    def owed(self, confirm: bytes, buyer: DeviceId, now: Now) -> Row:
        """The outbox row of a trade, out of its Confirm: it belongs in the transaction that confirms."""
        key = self._key_of(buyer)
        assert key is not None, "a Confirm whose signature was verified has a key"
        return outbox.row(outbox.confirmed(confirm, key, now.wall_us))

    def refuses(self, buyer: DeviceId) -> bool:
        """Whether a buyer's bids are refused for what it owes, or for what its escrow and its record are."""
        return self._gate.refuses(buyer)

    def stops_lots(self) -> str | None:
        """Why nothing may be sold now."""
        return self._gate.stops_lots()
