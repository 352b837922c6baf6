"""Whose word discovery takes: a peer is where a datagram came from that this peer said itself, and nowhere else (design §5).

Cheap: bytes are looked up, nothing is verified. Only markets of `signed` nodes are followed; in `plain` whoever says who it is,
is believed.
"""

from collections.abc import Callable
from typing import Protocol

from etp.discovery_limits import Address
from etp.record import is_record, sender_of
from sim.invariants.books import Violation


class Listening(Protocol):
    """A node; a device may run twice, hence not its id."""

    @property
    def device_id(self) -> int:
        """Which device it is."""


class Callers:
    """See the module. Told of each datagram that leaves and arrives, and of each peer that a node comes to know; `tell` is told
    what is broken.
    """

    def __init__(self, tell: Callable[[Violation], None]) -> None:
        self._tell = tell
        self._said: set[bytes] = set()
        """Records that left the node that they name."""
        self._heard: dict[Listening, set[tuple[int, Address]]] = {}
        """Who proved to a node, in its present life, to be at which address."""

    def said(self, sender: int, data: bytes) -> None:
        """A node sends a datagram."""
        if is_record(data) and sender_of(data) == sender:
            self._said.add(data)

    def heard(self, listener: Listening, data: bytes, source: Address) -> None:
        """A datagram reaches a node, as if from `source`."""
        if data in self._said:
            self._heard.setdefault(listener, set()).add((sender_of(data), source))

    def met(self, listener: Listening, peer: int, address: Address) -> None:
        """A node takes a peer to be at an address."""
        if (peer, address) not in self._heard.get(listener, ()):
            said = f"takes {peer} to be at {address[0]}:{address[1]}, from where it heard no word of it"
            self._tell(Violation("sender", listener.device_id, said))

    def deaf(self, listener: Listening) -> None:
        """What a node heard is forgotten: its life is over."""
        self._heard.pop(listener, None)
