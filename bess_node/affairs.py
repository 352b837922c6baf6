"""What each aggregator has going at this battery: its live bid or promise, its rate, its lapses. In memory, bounded.

An affair belongs to the device, not to its connection (design §4, One affair at a time).
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from etp.bucket import Bucket
from etp.effects import Envelope
from etp.frame import Frame
from etp.limits import Limits
from etp.repetition import Answer, BidMemory
from etp.state import AffairInput, AffairState, next_affair
from etp.units import DeviceId, LotId, MicroPerKwh, MonotonicS, WallUs, Wh
from market.auction import Bid

FIRST_LAPSE_S: Final = 10.0
LONGEST_LAPSE_S: Final = 600.0
HOUR_S: Final = 3600.0
CONFIRMS_REMEMBERED: Final = 64
"""Answers to Confirms kept in memory per device, beside those that the journal keeps for ever."""


@dataclass(slots=True, eq=False)
class LiveBid:
    """The bid that takes part."""

    bid: Bid
    answer: Answer
    lot_id: LotId
    raw: bytes
    """As it came."""


@dataclass(slots=True, eq=False)
class Reservation:
    """Energy promised to one winner until it is confirmed or released."""

    lot_id: LotId
    bidder: DeviceId
    live: LiveBid
    energy: Wh
    paid: MicroPerKwh
    reserved_us: WallUs
    """When its lot closed: no Confirm of it can be older, but for a slow clock."""
    accept: Envelope | None = None
    """Set once the reservation is durable."""
    deadline_s: MonotonicS | None = None
    """A Confirm counts before this."""
    resolving: bool = False
    others: list[tuple[Frame, bytes]] = field(default_factory=list)
    """Confirms that came while another one was being decided: answered after it."""
    """Its end (CONFIRMED or RELEASED) is on its way to the journal."""


@dataclass(slots=True, eq=False)
class Affair:
    """One aggregator's standing with this battery."""

    device_id: DeviceId
    bucket: Bucket
    memory: BidMemory
    state: AffairState = AffairState.NONE
    live: LiveBid | None = None
    reservation: Reservation | None = None
    promised: LotId = LotId(0)
    """The newest lot that it was promised in this life, or had been when the last one ended; 0: none."""
    connected: bool = False
    reserve_tries: int = 0
    tries_lot: LotId = LotId(0)
    confirms: OrderedDict[int, tuple[bytes, Envelope | None]] = field(default_factory=OrderedDict)
    declined_s: deque[MonotonicS] = field(default_factory=deque)
    against: str = ""
    """What spoke against its last bid, of its debts, its escrow or its past."""
    explained: str = ""
    """What of it the operator was told."""
    penalty_s: float = 0.0
    barred_until_s: float = 0.0

    def move(self, cause: AffairInput) -> None:
        """Take a step of the table."""
        self.state = next_affair(self.state, cause)

    def free(self) -> None:
        """The live bid is no longer in."""
        self.move(AffairInput.FREED)
        self.live = None

    def remember_confirm(self, message_id: int, raw: bytes, answer: Envelope | None) -> None:
        """Keep what a Confirm was answered."""
        self.confirms[message_id] = (raw, answer)
        while len(self.confirms) > CONFIRMS_REMEMBERED:
            self.confirms.popitem(last=False)

    def decline(self, now_s: MonotonicS, *, free_per_hour: int) -> None:
        """Count a declined Accept; those beyond the free ones are lapses."""
        while self.declined_s and self.declined_s[0] <= now_s - HOUR_S:
            self.declined_s.popleft()
        if len(self.declined_s) < free_per_hour:
            self.declined_s.append(now_s)
        else:
            self.lapse(now_s)

    def lapse(self, now_s: MonotonicS) -> None:
        """Bar the device for 10 s, twice as long with each lapse, up to 10 minutes."""
        self.penalty_s = min(max(2 * self.penalty_s, FIRST_LAPSE_S), LONGEST_LAPSE_S)
        self.barred_until_s = now_s + self.penalty_s

    def traded(self) -> None:
        """A confirmed trade halves what the next lapse builds on."""
        self.penalty_s = self.penalty_s / 2 if self.penalty_s > FIRST_LAPSE_S else 0.0


class Reservations:
    """Promises that are neither confirmed nor released, by lot; their energy and their next deadline without a search."""

    def __init__(self) -> None:
        self.energy = Wh(0)
        """Of all of them."""
        self._all: dict[LotId, Reservation] = {}
        self._open: dict[LotId, Reservation] = {}
        """Those with an Accept out and nothing decided, in order of their deadlines: all have the same window."""

    def __len__(self) -> int:
        return len(self._all)

    def get(self, lot_id: LotId) -> Reservation | None:
        """The promise of a lot."""
        return self._all.get(lot_id)

    def values(self) -> Collection[Reservation]:
        """All of them, in the order in which they were reserved."""
        return self._all.values()

    def add(self, r: Reservation) -> None:
        """Reserved."""
        self._all[r.lot_id] = r
        self.energy = Wh(self.energy + r.energy)

    def accepted(self, r: Reservation, accept: Envelope, deadline_s: MonotonicS) -> None:
        """Its Accept is out; a Confirm counts before the deadline."""
        r.accept, r.deadline_s = accept, deadline_s
        self._open[r.lot_id] = r

    def resolve(self, r: Reservation) -> None:
        """How it ends is being made durable."""
        r.resolving = True
        self._open.pop(r.lot_id, None)

    def remove(self, r: Reservation) -> None:
        """It has ended."""
        self._open.pop(r.lot_id, None)
        del self._all[r.lot_id]
        self.energy = Wh(self.energy - r.energy)

    def next_deadline(self) -> MonotonicS | None:
        """When the next Accept runs out."""
        return next(iter(self._open.values())).deadline_s if self._open else None

    def expired(self, now_s: MonotonicS) -> list[Reservation]:
        """Those whose Confirm did not come in time."""
        return list(takewhile(lambda r: r.deadline_s is not None and r.deadline_s <= now_s, self._open.values()))


class Affairs:
    """The affairs of all known devices; beyond the bound those with nothing going and no connection are forgotten."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._table: OrderedDict[DeviceId, Affair] = OrderedDict()

    def get(self, device_id: DeviceId, now_s: MonotonicS) -> Affair:
        """The affair of a device, made where there is none."""
        affair = self._table.get(device_id)
        if affair is None:
            self._make_room()
            affair = self._table[device_id] = self._new(device_id, now_s)
        return affair

    def of(self, device_id: DeviceId) -> LiveBid | None:
        """The live bid of a device."""
        affair = self._table.get(device_id)
        return affair.live if affair is not None else None

    def _new(self, device_id: DeviceId, now_s: MonotonicS) -> Affair:
        limits = self._limits
        return Affair(
            device_id,
            Bucket(rate=limits.bids_per_s, burst=limits.bid_burst, now_s=now_s),
            BidMemory(keep_s=limits.bid_memory_s, maximum=limits.bid_memory_per_device),
        )

    def _make_room(self) -> None:
        if len(self._table) < self._limits.devices:
            return
        # Connected devices and those with a promise are at most 1,200 + open lots: one to forget is always found.
        for device_id, affair in self._table.items():
            if affair.state is AffairState.NONE and not affair.connected:
                del self._table[device_id]
                return
