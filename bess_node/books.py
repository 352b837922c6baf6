"""What the counters of one desk share: the open lot, the affairs, the promises, and the letters they write.

It knows no order of events: `bids`, `promises` and `desk` decide; this holds what they decide about.
"""

from dataclasses import dataclass, field
from typing import Any

from bess_node.affairs import Affair, Affairs, Reservations
from bess_node.settlement import Settlement
from bess_node.store import Store
from etp import messages
from etp.clock import Now
from etp.codes import FailureCode, RejectCode, TerminateCode
from etp.effects import Effect, Envelope, Row
from etp.evidence import Evidence
from etp.frame import Frame
from etp.limits import Limits
from etp.profile import Profile
from etp.record import NO_LOT
from etp.timing import Timing, is_from_future, is_late
from etp.units import MICRO_PER_CENT, DeviceId, LotId, MicroPerKwh, WallUs, Wh, money
from market.auction import Bid, LotTerms, Mechanism


@dataclass(frozen=True, slots=True)
class LotRules:
    """How this battery sells."""

    mechanism: Mechanism
    increment: MicroPerKwh
    """English: by how much the ask rises above the leading bid, µ/kWh."""
    closing_s: float
    """From the first bid (sealed) or the last better one (english) to the close, s."""
    max_s: float
    """An english lot ends at the latest this long after its first bid, s."""
    min_lot: Wh
    """Bids below it are refused, unless less is left."""
    hide_reserve: bool


@dataclass(slots=True, eq=False)
class OpenLot:
    """The one lot that can be bid for now."""

    lot_id: LotId
    terms: LotTerms
    state: Any
    """The mechanism's own value."""
    digest: Any
    """SHA-256 of its bids in order of arrival."""
    opened_us: WallUs
    bids: int = 0
    bidders: set[DeviceId] = field(default_factory=set)
    """Devices whose bids were judged in it; at most `Limits.devices` of them are told apart."""

    def judged(self, bidder: DeviceId, raw: bytes, most: int) -> None:
        """Count a bid, before it is known what it gets."""
        self.bids += 1
        self.digest.update(raw)
        if len(self.bidders) < most:
            self.bidders.add(bidder)


@dataclass(slots=True, eq=False)
class Books:
    """See the module."""

    device_id: DeviceId
    rules: LotRules
    store: Store
    profile: Profile
    limits: Limits
    timing: Timing
    affairs: Affairs
    lot: OpenLot | None = None
    reservations: Reservations = field(default_factory=Reservations)
    failure: FailureCode | None = None
    stopping: bool = False
    settlement: Settlement | None = None
    """Of a market whose trades are paid on a chain."""
    storage_bad_until_s: float = 0.0
    """After a failed commit nothing new is promised before this."""
    kept: Evidence = field(default_factory=Evidence)

    @property
    def lot_id(self) -> LotId:
        """The open lot's id; 0: there is none."""
        return self.lot.lot_id if self.lot else NO_LOT

    def is_past(self, lot_id: LotId) -> bool:
        """Whether a lot can never be sold any more: neither open nor promised, nor an id that is still to be given."""
        unused = lot_id > self.profile.ids.last
        return not unused and lot_id != self.lot_id and self.reservations.get(lot_id) is None

    @property
    def selling(self) -> bool:
        """Neither failed nor stopping, and nothing wrong on the chain."""
        stopped = self.settlement is not None and self.settlement.stops_lots() is not None
        return self.failure is None and not self.stopping and not stopped

    @property
    def ask(self) -> MicroPerKwh:
        """The disclosed ask of the open lot; 0: none, or not disclosed."""
        return self.rules.mechanism.ask(self.lot.state) if self.lot else MicroPerKwh(0)

    @property
    def available_wh(self) -> Wh:
        """What may be bid for now."""
        return self.lot.terms.energy if self.lot else Wh(0)

    @property
    def reserved_wh(self) -> Wh:
        """Energy of promises that are neither confirmed nor released."""
        return self.reservations.energy

    @property
    def has_bids(self) -> bool:
        """Whether a bid takes part in the open lot."""
        return self.lot is not None and bool(self.rules.mechanism.bids(self.lot.state))

    @property
    def closed_below(self) -> LotId:
        """Every lot with an id below this has ended, and none that is still to come will have one."""
        return self.lot.lot_id if self.lot else LotId(self.profile.ids.last + 1)

    def offer(self) -> messages.Offer:
        """What is held, and what may be bid for now."""
        return messages.Offer(self.store.held_wh, self.available_wh)

    def response(self, *, bid_price: MicroPerKwh = MicroPerKwh(0)) -> Envelope:
        """A Response of now, about the open lot; `bid_price` in the answer to a Bid that takes part."""
        told = messages.response(self.device_id, offer=self.offer(), ask=self.ask, bid_price=bid_price)
        return Envelope(told, lot_id=self.lot_id)

    def reject(
        self, code: RejectCode, *, price: MicroPerKwh, lot_id: LotId, ask: MicroPerKwh = MicroPerKwh(0)
    ) -> Envelope:
        """A Reject of a bid at `price` in a lot."""
        refused = price / MICRO_PER_CENT
        told = messages.reject(self.device_id, code, refused=refused, ask=ask, available=self.available_wh)
        return Envelope(told, lot_id=lot_id)

    def terminate(self, code: TerminateCode, lot_id: LotId) -> Envelope:
        """A Terminate of a lot: with TIMEOUT or CANNOT_DELIVER a refund to whom it is addressed, so never after a trade."""
        return Envelope(messages.terminate(self.device_id, code), lot_id=lot_id)

    def stamped(self, envelope: Envelope, to: DeviceId, now: Now) -> bytes:
        """Fix the envelope's bytes with an id of now: it promises, or is a promise's end."""
        return self.profile.stamp(envelope, to, now)

    def against(self, bid: Bid, now: Now) -> str:
        """Why a bid is refused, for what its buyer owes, its escrow or its past; empty: it is not."""
        if self.settlement is None:
            return ""
        return self.settlement.refuses(bid.bidder, money(bid.price, bid.energy), now) or ""

    def owed(self, confirm: bytes, buyer: DeviceId, now: Now) -> tuple[Row, ...]:
        """The outbox row of a trade, where trades are paid on a chain."""
        return () if self.settlement is None else (self.settlement.owed(confirm, buyer, now),)

    def withdraw(self, affair: Affair) -> bool:
        """Take a device's bid out where the mechanism lets it go (sealed); whether it did."""
        if affair.live is None or self.lot is None or not self.rules.mechanism.sealed:
            return False
        self.lot.state = self.rules.mechanism.withdraw(self.lot.state, affair.device_id)
        affair.free()
        return True

    def is_late(self, frame: Frame, now: Now) -> bool:
        """Past its maximum delay and the allowance for clock skew."""
        allowance = self.timing.skew_allowance_ms
        return is_late(frame.message_type, frame.message_id, now.wall_us, skew_allowance_ms=allowance)

    def is_from_future(self, frame: Frame, now: Now) -> bool:
        """Further ahead of our clock than an honest clock is."""
        return is_from_future(frame.message_id, now.wall_us, future_limit_ms=self.timing.future_limit_ms)

    def evidence(self, device_id: DeviceId, kind: str, frames: list[bytes], now: Now) -> list[Effect]:
        """Keep what shows that a peer broke a rule."""
        return self.kept.keep(device_id, kind, frames, now)
