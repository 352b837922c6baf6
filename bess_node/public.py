"""What anybody may know of the lot that is open: of a sealed one nothing that a bid changes, of a hidden reserve nothing.

An english lot shows what its bidders are told, the standing price, how many devices have bid, and when it closes. Nobody learns
who they are. Of a sealed lot even the time of its close would tell that there is a bid.
"""

from typing import Any, NamedTuple

from bess_node.books import Books
from etp.clock import Now
from etp.codes import FailureCode
from etp.effects import Scalar
from etp.units import Wh


class Sight(NamedTuple):
    """To be compared by identity and number: as long as all are the same, nothing public has changed."""

    lot: object
    state: Any
    bids: int
    failure: FailureCode | None

    def same(self, other: "Sight") -> bool:
        """Whether nothing has changed. States are not compared by their values: one may hold a thousand bids."""
        return self.state is other.state and self.lot is other.lot and self[2:] == other[2:]


def sight(books: Books) -> Sight:
    """Of now."""
    found = books.lot
    if found is None:
        return Sight(None, None, 0, books.failure)
    return Sight(found, found.state, found.bids, books.failure)


def lot(books: Books, now: Now) -> dict[str, Scalar]:
    """The open lot, µ/kWh, Wh and µs; `lot_id` 0: none is open."""
    mechanism, found = books.rules.mechanism, books.lot
    body: dict[str, Scalar] = {
        "lot_id": books.lot_id,
        "mechanism": mechanism.name,
        "energy_wh": Wh(0),
        "reserve_micro_per_kwh": None,
        "ask_micro_per_kwh": None,
        "standing_micro_per_kwh": None,
        "bidders": None,
        "opened_us": 0,
        "closes_us": None,
    }
    if found is None:
        return body
    body |= {"energy_wh": found.terms.energy, "opened_us": found.opened_us, "ask_micro_per_kwh": books.ask or None}
    if not found.terms.hide_reserve:
        body["reserve_micro_per_kwh"] = found.terms.reserve
    if mechanism.sealed or mechanism.immediate:
        return body
    leading = next(iter(mechanism.bids(found.state)), None)
    closes_at = mechanism.closes_at(found.state)
    body["bidders"] = len(found.bidders)
    body["standing_micro_per_kwh"] = leading.price if leading else None
    if closes_at is not None:
        body["closes_us"] = now.wall_us + round((closes_at - now.monotonic_s) * 1e6)
    return body
