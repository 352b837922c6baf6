"""How much the tables of a core hold, and how much they may: from outside, so that a core that forgets a bound is seen to.

The one place that reads what cores keep to themselves; it changes nothing.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, NamedTuple

from aggregator_node.books import REPLIES_KEPT
from aggregator_node.buyer import Buyer
from aggregator_node.directory import MAX_BATTERIES
from bess_node.affairs import CONFIRMS_REMEMBERED
from bess_node.desk import Desk
from bess_node.promises import CONFIRMS_WAITING
from etp.session import Session

_BOOKS: Final = attrgetter("_books")
_AFFAIRS: Final = attrgetter("_books.affairs._table")
_BATTERIES: Final = attrgetter("books.affairs")
_DUE: Final = attrgetter("books.agenda._heap")


class Size(NamedTuple):
    """One table."""

    name: str
    size: int
    limit: int


def sizes(core: object) -> Iterator[Size]:
    """Every table of a desk, a buyer or a session."""
    if isinstance(core, Desk):
        yield from _of_desk(core)
    elif isinstance(core, Buyer):
        yield from _of_buyer(core)
    elif isinstance(core, Session):
        yield Size("send queue", len(core.queue), attrgetter("_limits")(core).queued_frames)


def _of_desk(desk: Desk) -> Iterator[Size]:
    books: Any = _BOOKS(desk)
    limits, affairs = books.limits, _AFFAIRS(desk)
    yield Size("affairs", len(affairs), limits.devices)
    yield Size("reservations", len(books.reservations), len(affairs))
    if books.lot is not None:
        yield Size("bidders of the open lot", len(books.lot.bidders), limits.devices)
        yield Size("bids of the open lot", len(books.rules.mechanism.bids(books.lot.state)), limits.devices)
    for device_id, affair in affairs.items():
        yield Size(f"bid memory of {device_id}", len(affair.memory), limits.bid_memory_per_device)
        yield Size(f"Confirms of {device_id}", len(affair.confirms), CONFIRMS_REMEMBERED)
        yield Size(f"declines of {device_id}", len(affair.declined_s), limits.free_declines_per_hour)
        if affair.reservation is not None:
            yield Size(f"Confirms of {device_id} that wait", len(affair.reservation.others), CONFIRMS_WAITING)


def _of_buyer(buyer: Buyer) -> Iterator[Size]:
    batteries = len(_BATTERIES(buyer))
    yield Size("batteries", batteries, MAX_BATTERIES)
    yield Size("directory", len(buyer.directory), MAX_BATTERIES)
    yield Size("reply times", len(buyer.reply_times), REPLIES_KEPT)
    yield Size("exposures", len(buyer.portfolio.exposed), batteries)
    # An agenda throws stale entries out once they outnumber the live ones (etp/agenda.py).
    yield Size("agenda", len(_DUE(buyer)), 2 * batteries + 16 + 1)
