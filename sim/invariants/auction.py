"""The open lot of one battery as its peers could follow it: which bids stand, from what came in and how each was answered.

A bid stands from the Response that names it until a Reject, a withdrawal, a better bid (english) or the close. What the battery
then promises is compared with `naive`. Nothing is read out of the battery itself.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from etp.codes import MessageType, RejectCode
from etp.effects import Effect, RecordBid, Row, Send
from etp.frame import FRAME_SIZE, Frame, decode
from etp.record import lot_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.books import BatteryBooks, Violation, whole
from sim.invariants.naive import RULES, SEALED, Stood, Won, needed

BID: Final = MessageType.BID.value
RESPONSE: Final = MessageType.RESPONSE.value
REJECT: Final = MessageType.REJECT.value
ENGLISH: Final = "english"
IMMEDIATE: Final = "first-above-reserve"
STANDING: Final = "standing"


class Auction:
    """See the module."""

    def __init__(self, books: BatteryBooks) -> None:
        self._books = books
        self._sealed, self._english = books.mechanism in SEALED, books.mechanism == ENGLISH
        self._standing: dict[int, Stood] = {}
        self._lot_id = 0
        self._arrivals = 0

    def bid(self, bidder: int, raw: bytes, effects: Sequence[Effect]) -> Iterator[Violation]:
        """A Bid, and all that the battery does about it. What it does not record is an answer that it gave before."""
        state = next((effect.row.state for effect in effects if type(effect) is RecordBid), None)
        if state is None:
            return
        self._arrivals += 1
        frame = decode(raw[:FRAME_SIZE])
        bid = Stood(
            bidder,
            round(frame.bid_price * MICRO_PER_CENT),
            round(frame.required_energy_amount * WH_PER_KWH),
            self._arrivals,
        )
        if self._books.mechanism == IMMEDIATE:
            self._standing = {bidder: bid} if state == STANDING else {}  # it has won: the Accept is its answer
            return
        answer = _answer(bid, effects)
        if answer is None:
            return
        told, lot_id = answer
        if told.message_type == RESPONSE:
            yield from self._takes_part(bid, lot_id)
        else:
            yield from self._refused(bid, told.termination_code, lot_of(raw))

    def _takes_part(self, bid: Stood, lot_id: int) -> Iterator[Violation]:
        if lot_id != self._lot_id:
            self._lot_id = lot_id
            if self._standing:
                yield self._broken(
                    f"lot {lot_id} takes bids before {sorted(self._standing)} were told of the one before"
                )
                self._standing.clear()
        if bid.price < self._books.reserve:
            said = f"{bid.bidder} takes part in lot {lot_id} with {bid.price} µ/kWh; at least {self._books.reserve}"
            yield Violation("reserve", self._books.device_id, said)
        if self._english:
            least = needed(self._leader, self._books.increment)
            if bid.price < least:
                yield self._broken(f"{bid.bidder} leads lot {lot_id} with {bid.price} µ/kWh; {least} is needed")
            self._standing.clear()
        self._standing[bid.bidder] = bid

    def _refused(self, bid: Stood, code: int, about: int | None) -> Iterator[Violation]:
        """A Reject frees the bidder (design §4); what leads an english lot, or is in another lot, stays."""
        if self._english:
            least = needed(self._leader, self._books.increment)
            if code == RejectCode.OUTBID and bid.price >= least:
                yield self._broken(f"{bid.bidder} is outbid with {bid.price} µ/kWh; {least} leads")
        elif about is None or about == self._lot_id:
            self._standing.pop(bid.bidder, None)

    @property
    def _leader(self) -> Stood | None:
        return next(iter(self._standing.values()), None)

    def withdrawn(self, bidder: int, about: int | None = None) -> None:
        """A Terminate of the bidder, about a lot (None: it cannot say), or its session is lost: only a sealed bid goes."""
        if self._sealed and about in (None, self._lot_id):
            self._standing.pop(bidder, None)

    def ended(self, lot: Row, promises: Sequence[Row]) -> Iterator[Violation]:
        """The lot is over: the promises made for it, in the order in which they were written."""
        standing, self._standing = list(self._standing.values()), {}
        reserve = whole(lot, "reserve_micro_per_kwh")
        if not promises:
            return  # failed or stopping: nobody wins, whatever stood
        yield from self._below(lot, reserve, promises)
        made = [
            Won(whole(row, "bidder"), whole(row, "energy_wh"), whole(row, "price_micro_per_kwh")) for row in promises
        ]
        due = RULES[self._books.mechanism](standing, whole(lot, "energy_wh"), reserve) if standing else []
        if made != due:
            yield self._broken(f"lot {lot.lot_id} is promised as {made}; by what stood it must be {due}")

    def _below(self, lot: Row, reserve: int, promises: Sequence[Row]) -> Iterator[Violation]:
        """Nothing is promised below the lot's reserve, nor is that below the least that the battery ever has."""
        cheapest = min(whole(row, "price_micro_per_kwh") for row in promises)
        if not self._books.reserve <= reserve <= cheapest:
            said = f"lot {lot.lot_id} of reserve {reserve} µ/kWh at {cheapest}; at least {self._books.reserve}"
            yield Violation("reserve", self._books.device_id, said)

    def restarted(self) -> None:
        """Bids are in memory only."""
        self._standing, self._lot_id = {}, 0

    def _broken(self, said: str) -> Violation:
        return Violation("winner", self._books.device_id, said)


def _answer(bid: Stood, effects: Sequence[Effect]) -> tuple[Frame, int] | None:
    """The Response or Reject that names a bid, and the lot that it speaks of."""
    for effect in effects:
        if isinstance(effect, Send) and effect.device_id == bid.bidder:
            told = effect.envelope.frame
            if told.message_type in (RESPONSE, REJECT) and round(told.bid_price * MICRO_PER_CENT) == bid.price:
                return told, effect.envelope.lot_id
    return None
