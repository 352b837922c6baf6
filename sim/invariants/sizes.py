"""How much the tables of a node hold, and how much they may: from outside, so that a core that forgets a bound is seen to.

The one place that reads what cores keep to themselves; it changes nothing. What holds by construction is left out (as many
reservations as affairs that have one, a `deque` with a `maxlen`): it could not fail. Bounds that are injected are drawn narrow
(`sim.draw`), so that a few nodes reach them.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

from aggregator_node.buyer import Buyer
from aggregator_node.directory import MAX_BATTERIES
from bess_node.affairs import CONFIRMS_REMEMBERED
from bess_node.desk import Desk
from bess_node.promises import CONFIRMS_WAITING
from contracts.settler import Settler
from etp.discovery import EVENTS_WAITING, BessDiscovery, Discovery
from etp.discovery_limits import DiscoveryLimits
from etp.peers import AggregatorDiscovery
from etp.roster import Roster
from etp.session import Session
from etp.signed import Signed

_BOOKS: Final = attrgetter("_books")
_AFFAIRS: Final = attrgetter("_books.affairs._table")
_BATTERIES: Final = attrgetter("books.affairs")
_DUE: Final = attrgetter("books.agenda._heap")
_LIMITS: Final = attrgetter("_limits")
_ADDRESSES: Final = attrgetter("_addresses")
_WINDOWS: Final = attrgetter("_windows")
_WELCOME: Final = attrgetter("_welcome")
_EVENTS: Final = attrgetter("_events")
_REPLIES: Final = attrgetter("_replies")
_PACED: Final = attrgetter("_pace._planned", "_pace._sent")
_AT_ADDRESS: Final = attrgetter("_at_address")
_CONTESTS: Final = attrgetter("_contests")
_SOURCES: Final = attrgetter("_buckets")
_RECENT: Final = attrgetter("_recent")
_WORK: Final = attrgetter("_work")
_LINKS: Final = attrgetter("_links")


class Size(NamedTuple):
    """One table."""

    name: str
    size: int
    limit: int


def sizes(table: object) -> Iterator[Size]:
    """Every table of a desk, a buyer, or what a node has beside it."""
    for kind, those_of in _TABLES.items():
        if isinstance(table, kind):
            yield from those_of(table)


def _of_desk(desk: Desk) -> Iterator[Size]:
    books: Any = _BOOKS(desk)
    limits, affairs = books.limits, _AFFAIRS(desk)
    yield Size("affairs", len(affairs), limits.devices)
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
    # An agenda throws stale entries out once they outnumber the live ones (etp/agenda.py).
    yield Size("agenda", len(_DUE(buyer)), 2 * batteries + 16 + 1)


def _of_session(session: Session) -> Iterator[Size]:
    yield Size("send queue", len(session.queue), _LIMITS(session).queued_frames)


def _of_roster(roster: Roster[Any]) -> Iterator[Size]:
    limits = _LIMITS(roster)
    yield Size("sessions", len(roster), limits.sessions)
    yield Size("sessions of one address", max(_ADDRESSES(roster).values(), default=0), limits.sessions_per_address)


def _of_signed(profile: Signed) -> Iterator[Size]:
    members = len(profile.registry)
    yield Size("counter windows", len(_WINDOWS(profile)), members)
    yield Size("members that are welcome", len(_WELCOME(profile)), members)


def _of_discovery(core: Discovery) -> Iterator[Size]:
    limits: DiscoveryLimits = _LIMITS(core)
    yield Size("events of discovery", len(_EVENTS(core)), EVENTS_WAITING)
    planned, sent = _PACED(core)
    yield Size("replies and probes of a window", len(planned) + len(sent), limits.replies)


def _of_bess_discovery(core: BessDiscovery) -> Iterator[Size]:
    yield Size("replies that wait", len(_REPLIES(core)), _LIMITS(core).pending_replies)


def _of_aggregator_discovery(core: AggregatorDiscovery) -> Iterator[Size]:
    limits: DiscoveryLimits = _LIMITS(core)
    yield Size("peers", len(core.peers), limits.peers)
    yield Size("peers of one address", max(_AT_ADDRESS(core).values(), default=0), limits.peers_per_address)
    yield Size("contests", len(_CONTESTS(core)), limits.contests)
    yield Size("sources", len(_SOURCES(core)), limits.sources)
    yield Size("frames remembered", len(_RECENT(core)), limits.recent_frames)


def _of_settler(settler: Settler) -> Iterator[Size]:
    limits = settler.limits
    yield Size("outbox", len(_WORK(settler)), limits.max_entries)
    for number, link in enumerate(_LINKS(settler)):
        yield Size(f"transactions to RPC {number}", link.sends_in_flight, limits.sends_in_flight)
        yield Size(f"questions to RPC {number}", link.polls_in_flight, limits.polls_in_flight)
        yield Size(f"transactions that wait for RPC {number}", link.waiting, limits.sends_waiting + limits.sign_at_once)


_TABLES: Final[Mapping[type, Callable[[Any], Iterator[Size]]]] = {
    Desk: _of_desk,
    Buyer: _of_buyer,
    Session: _of_session,
    Roster: _of_roster,
    Signed: _of_signed,
    Discovery: _of_discovery,
    BessDiscovery: _of_bess_discovery,
    AggregatorDiscovery: _of_aggregator_discovery,
    Settler: _of_settler,
}
