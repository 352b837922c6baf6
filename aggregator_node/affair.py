"""What a buyer has going at one battery: its live bid, or its Confirm and how long it has waited. One affair at a time."""

from dataclasses import dataclass
from typing import Final

from aggregator_node.directory import Battery
from etp.bucket import Bucket
from etp.codes import MessageType
from etp.effects import Envelope, Row
from etp.frame import Frame
from etp.record import lot_of, message_id_of
from etp.state import AffairInput, AffairState, next_affair
from etp.units import MICRO_PER_CENT, MicroPerKwh, MonotonicS, Wh

BIDS_PER_S: Final = 40.0
BID_BURST: Final = 80.0
"""Four fifths of what a battery takes from one device by default (design §4): two buyers that outbid each other step by step
must not run into TOO_MANY, which would end the race before the better value has won."""
TOO_MANY_PAUSE_S: Final = 0.1
"""After TOO_MANY, s: short beside a lot that closes 200 ms after its last bid."""
PAUSE_S: Final = 1.0
"""After a refusal that says "not now", s."""
ASK_AGAIN_S: Final = 5.0
"""Without news from a battery that we want energy from, a Query, s."""
FATE_S: Final = 70.0
"""A bid without news for longer than a lot can last is sent again: its stored answer, or LATE, decides, s."""
UNRESOLVED_S: Final = 600.0
"""Plain profile: after this an unanswered Confirm is UNRESOLVED, s (design §4)."""


UNPAYABLE_S: Final = 30 * 86_400.0
"""Signed profile: the longest that a market lets a trade be settled after its Confirm, s (docs/settlement.md, Program)."""


@dataclass(slots=True, eq=False)
class Promise:
    """A Confirm on its way, or unanswered."""

    accept: bytes
    confirm: Envelope
    row: Row
    since_s: MonotonicS
    attempt: int = 0
    retry_s: float = float("inf")
    durable: bool = False

    @property
    def energy(self) -> Wh:
        """What is bought."""
        return Wh(int(str(self.row.body["energy_wh"])))

    @property
    def paid(self) -> MicroPerKwh:
        """At which price."""
        return MicroPerKwh(int(str(self.row.body["price_micro_per_kwh"])))


@dataclass(slots=True, eq=False)
class Affair:
    """See the module."""

    battery: Battery
    pace: Bucket
    """Bids that may leave now."""
    state: AffairState = AffairState.NONE
    bid: Envelope | None = None
    """The live bid."""
    bid_s: float = 0.0
    """When it was sent; 0: it is answered."""
    heard_id: int = 0
    """The highest message_id that came from the battery."""
    heard_before_bid: int = 0
    """The same when the live bid left: its answer has a higher one, since ids never go back."""
    promise: Promise | None = None
    given_up: bytes = b""
    """The last Accept that was neither confirmed nor declined in time: its row may not be on the disk yet."""
    not_before_s: float = 0.0
    """No bid before this."""
    put_off: bool = False
    """A bid waits for `not_before_s`, since the battery takes only so many a second."""
    too_little: bool = False
    """It waits for more to be wanted: what was wanted is less than the battery sells at once."""
    news_s: float = 0.0
    """When the battery last said something, or was last asked."""
    warned: bool = False
    """That its clock is off."""

    @property
    def offered(self) -> MicroPerKwh:
        """What the live bid offers; 0: there is none."""
        return MicroPerKwh(round(self.bid.frame.bid_price * MICRO_PER_CENT)) if self.bid is not None else MicroPerKwh(0)

    @property
    def bid_id(self) -> int:
        """The id under which the live bid left; 0: there is none."""
        return message_id_of(self.bid.raw) if self.bid is not None and self.bid.raw is not None else 0

    def move(self, cause: AffairInput) -> None:
        """Take a step of the table."""
        self.state = next_affair(self.state, cause)

    @property
    def unresolved_s(self) -> float:
        """When an unanswered Confirm is given up; one that names its lot only once it can no longer be paid for."""
        assert self.promise is not None
        wait_s = UNPAYABLE_S if self.promise.confirm.lot_id else UNRESOLVED_S
        return self.promise.since_s + wait_s

    def may_be_stored_answer(self, frame: Frame, raw: bytes) -> bool:
        """Whether a record whose counter tells nothing is an answer that we wait for, kept by the battery until we asked again.

        Of a promise: its lot's Terminate. Of a bid: what speaks of its lot and was stamped after all that we had heard when
        we bid. An Accept is judged by its bytes and its age wherever it comes from.
        """
        about, kind = lot_of(raw), frame.message_type
        if kind == MessageType.TERMINATE:
            return self.promise is not None and about == self.promise.confirm.lot_id
        if kind in (MessageType.RESPONSE, MessageType.REJECT):
            return self.bid is not None and about == self.bid.lot_id and frame.message_id > self.heard_before_bid
        return kind == MessageType.ACCEPT

    def due_s(self, *, wants: bool) -> MonotonicS | None:
        """When something is to be done without news; `wants`: more energy is wanted."""
        if self.promise is not None:
            return MonotonicS(min(self.promise.retry_s, self.unresolved_s))
        if not self.battery.connected:
            return None
        if self.bid is not None:
            return MonotonicS(self.news_s + FATE_S)
        asks_at = self.not_before_s if self.put_off else max(self.news_s + ASK_AGAIN_S, self.not_before_s)
        return MonotonicS(asks_at) if wants else None
