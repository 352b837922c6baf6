"""How much the tables of a node hold, and how much they may: from outside, so that a core that forgets a bound is seen to.

The one place that reads what cores keep to themselves; it changes nothing. Bounds that are injected are drawn narrow
(`sim.draw`), so that a few nodes reach them; those that are constants are looked at all the same, so that nobody can drop one
unseen. Rows of evidence are no table: `sim.invariants.evidence` counts them as they are written.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

from aggregator_node.books import REPLIES_KEPT
from aggregator_node.buyer import Buyer
from aggregator_node.curve import MAX_CELLS
from aggregator_node.dialling import MOST as MOST_DIALLED
from aggregator_node.dialling import Dials
from aggregator_node.directory import MAX_BATTERIES
from aggregator_node.intelligent import MAX_BATTERIES as MAX_SELLERS
from aggregator_node.intelligent import Intelligent
from aggregator_node.patience import LOTS_KEPT
from bess_node.affairs import CONFIRMS_REMEMBERED
from bess_node.desk import Desk
from bess_node.pricing import HOURS, Forecast
from bess_node.pricing_optimal import Optimal
from bess_node.promises import CONFIRMS_WAITING
from bess_node.settlement import Settlement
from bess_node.store import Store
from contracts.exposure import MAX_UNSETTLED, Exposure
from contracts.reputation import MAX_BUYERS
from contracts.settler import Settler
from etp.discovery import EVENTS_WAITING, BessDiscovery, Discovery
from etp.discovery_limits import DiscoveryLimits
from etp.offset import KEPT_SAMPLES
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
_AGENDAS: Final = attrgetter("_work.to_sign._heap", "_work.to_send._heap", "_work.to_poll._heap")
_WITHOUT: Final = attrgetter("_signing.without_blockhash")
_SHORT: Final = attrgetter("_shortage._lots")
_OWED: Final = attrgetter("_owed")
_WATCHED: Final = attrgetter("_standings._watched")
_DIALLED: Final = attrgetter("_attempts")
_LEARNT: Final = attrgetter("_curves", "_sellers", "_patience._seen")
_SAMPLES: Final = attrgetter("estimator._samples")
_DELIVERIES: Final = attrgetter("_deliveries._queue", "_sold")
_COUNTS: Final = attrgetter("_counts")
_OUTGOING: Final = attrgetter("_outgoing")
_PACED_ADDRESSES: Final = attrgetter("_pace._last_s", "_pace._at_address")


def heap_of(keys: int) -> int:
    """What an agenda of so many keys holds at most: it throws stale entries out once they outnumber the live ones (etp/agenda.py)."""
    return 2 * keys + 16 + 1


class Size(NamedTuple):
    """One table."""

    name: str
    size: int
    limit: int


def sizes(table: object) -> Iterator[Size]:
    """Every table of a desk, a buyer, or what a node has beside it; of what has none, nothing."""
    for kind, those_of in _TABLES.items():
        if isinstance(table, kind):
            yield from those_of(table)


def _of_desk(desk: Desk) -> Iterator[Size]:
    books: Any = _BOOKS(desk)
    limits, affairs = books.limits, _AFFAIRS(desk)
    yield Size("affairs", len(affairs), limits.devices)
    yield Size("promises", len(desk.reservations), limits.devices)
    yield from sizes(desk.store)
    yield from sizes(desk.store.pricing)
    yield from sizes(books.settlement)
    if books.lot is not None:
        yield Size("bidders of the open lot", len(books.lot.bidders), limits.devices)
        yield Size("bids of the open lot", len(books.rules.mechanism.bids(books.lot.state)), limits.devices)
    for device_id, affair in affairs.items():
        yield Size(f"bid memory of {device_id}", len(affair.memory), limits.bid_memory_per_device)
        yield Size(f"Confirms of {device_id}", len(affair.confirms), CONFIRMS_REMEMBERED)
        yield Size(f"declines of {device_id}", len(affair.declined_s), limits.free_declines_per_hour)
        if affair.reservation is not None:
            yield Size(f"Confirms of {device_id} that wait", len(affair.reservation.others), CONFIRMS_WAITING)


def _of_store(store: Store) -> Iterator[Size]:
    queue, sold = _DELIVERIES(store)
    yield Size(
        "deliveries", max(len(queue), len(sold)), store.owed_wh
    )  # each is of a Wh at least (bess_node/delivery.py)


def _of_forecast(pricing: Forecast) -> Iterator[Size]:
    yield Size("hours of prices", len(pricing.by_hour), HOURS)


def _of_optimal(pricing: Optimal) -> Iterator[Size]:
    yield Size("hours of prices", len(_COUNTS(pricing)), HOURS + 1)  # and all of them together


def _of_settlement(settlement: Settlement) -> Iterator[Size]:
    yield Size("standings", len(_WATCHED(settlement)), MAX_BUYERS)


def _of_buyer(buyer: Buyer) -> Iterator[Size]:
    batteries = len(_BATTERIES(buyer))
    yield Size("batteries", batteries, MAX_BATTERIES)
    yield Size("directory", len(buyer.directory), MAX_BATTERIES)
    yield Size("exposures", len(buyer.portfolio.exposed), MAX_BATTERIES)
    yield Size("agenda", len(_DUE(buyer)), heap_of(batteries))
    yield Size("times of replies", len(buyer.reply_times), REPLIES_KEPT)
    samples = max((len(_SAMPLES(battery)) for battery in buyer.directory), default=0)
    yield Size("samples of a clock", samples, KEPT_SAMPLES)
    yield from sizes(buyer.books.strategy)
    yield from sizes(buyer.books.purse)


def _of_intelligent(strategy: Intelligent) -> Iterator[Size]:
    curves, sellers, seen = _LEARNT(strategy)
    yield Size("beliefs", max(len(curve.cells) for curve in curves), MAX_CELLS)
    yield Size("sellers", len(sellers), MAX_SELLERS)
    yield Size("chances", len(seen), LOTS_KEPT)


def _of_exposure(exposure: Exposure) -> Iterator[Size]:
    # With so many nothing more is bid; what was bid before may still be won, once at each battery (contracts/exposure.py).
    yield Size("trades that are owed", len(_OWED(exposure)), MAX_UNSETTLED + MAX_BATTERIES)


def _of_dials(dials: Dials) -> Iterator[Size]:
    yield Size("addresses that are dialled", len(_DIALLED(dials)), MOST_DIALLED)


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
    yield Size("addresses of a window", max(map(len, _PACED_ADDRESSES(core))), limits.replies)
    yield Size("datagrams to send", len(_OUTGOING(core)), limits.replies + 2)  # Register and Query beside them


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
    yield Size("agenda of the outbox", max(map(len, _AGENDAS(settler))), heap_of(limits.max_entries))
    yield Size("trades without a blockhash", len(_WITHOUT(settler)), limits.max_entries)
    yield Size("trades of short escrows", sum(map(len, _SHORT(settler).values())), limits.max_entries)
    for number, link in enumerate(_LINKS(settler)):
        yield Size(f"transactions to RPC {number}", link.sends_in_flight, limits.sends_in_flight)
        yield Size(f"questions to RPC {number}", link.polls_in_flight, limits.polls_in_flight)
        yield Size(f"transactions that wait for RPC {number}", link.waiting, limits.sends_waiting + limits.sign_at_once)


_TABLES: Final[Mapping[type, Callable[[Any], Iterator[Size]]]] = {
    Desk: _of_desk,
    Store: _of_store,
    Forecast: _of_forecast,
    Optimal: _of_optimal,
    Settlement: _of_settlement,
    Buyer: _of_buyer,
    Intelligent: _of_intelligent,
    Exposure: _of_exposure,
    Dials: _of_dials,
    Session: _of_session,
    Roster: _of_roster,
    Signed: _of_signed,
    Discovery: _of_discovery,
    BessDiscovery: _of_bess_discovery,
    AggregatorDiscovery: _of_aggregator_discovery,
    Settler: _of_settler,
}
