"""Whether a battery and a buyer would trade if nothing were in their way: the shipped cores are asked, on copies of what they hold.

A desk is made anew on a copy of the battery's store, with what its policy has learnt of prices, and a buyer on a copy of what is
bought already, with what it thinks of this battery. Both speak `plain`, so that no id or counter of the running nodes is used up.
Nothing is decided here.
"""

from copy import deepcopy
from random import Random

from aggregator_node.buyer import Buyer
from bess_node.build import rules_of
from bess_node.desk import Desk
from bess_node.settings import BessSettings
from etp.clock import Now
from etp.ids import Ids
from etp.profile import Plain, Received
from etp.timing import Timing
from sim.node import Node


def would_trade(settings: BessSettings, battery: Node[Desk], buyer: Node[Buyer]) -> bool:
    """Whether the buyer bids for what the battery would offer it now, and the battery takes that bid.

    Penalties, debts and what an escrow has left are not asked about: in a market that is well they come to an end.
    """
    now = battery.now()
    desk, asked = _desk(settings, battery, now), _buyer(battery, buyer)
    its_now = Now(buyer.now().monotonic_s, now.wall_us)
    told = desk.response()
    raw = Plain(Ids()).stamp(told, asked.device_id, now)
    asked.session_opened(desk.device_id, its_now)
    asked.receive(desk.device_id, _read(raw, now).frame, raw, its_now)
    bid = asked.books.affairs[desk.device_id].bid
    if bid is None or bid.raw is None:
        return False
    desk.receive(asked.device_id, _read(bid.raw, now).frame, bid.raw, now)
    return bool(desk.reservations) or bool(desk.view()["bidders"])


def _desk(settings: BessSettings, battery: Node[Desk], now: Now) -> Desk:
    desk = Desk(
        battery.device_id,
        rules=rules_of(settings),
        store=deepcopy(battery.core.store),
        profile=Plain(Ids()),
        limits=battery.limits,
        timing=Timing(),
        started=now,
    )
    desk.opened(now)
    return desk


def _buyer(battery: Node[Desk], buyer: Node[Buyer]) -> Buyer:
    books = buyer.core.books
    asked = Buyer(
        buyer.device_id,
        worth=books.worth,
        portfolio=deepcopy(books.portfolio),
        strategy=books.strategy,
        profile=Plain(Ids()),
        rng=Random(0),
        timing=books.timing,
        clock=books.clock,
        patience_s=books.patience_s,
    )
    known, met = books.directory.find(battery.device_id), asked.directory.meet(battery.device_id)
    if known is not None and met is not None:
        met.kept, met.broken = known.kept, known.broken
    return asked


def _read(raw: bytes, now: Now) -> Received:
    reading = Plain(Ids()).read(raw, None, now)
    assert isinstance(reading, Received), "a core says nothing that the other one cannot read"
    return reading
