"""The open lot of one battery as its peers could follow it: which bids stand, from what came in and how each was answered.

A bid stands from the Response that names it until a Reject, a withdrawal, a better bid (english) or the close. What the battery
then promises is compared with `naive`, and a Reject with what the bid was. Nothing is read out of the battery itself.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from etp.clock import Now
from etp.codes import MessageType, RejectCode
from etp.effects import Commit, Effect, RecordBid, Row, Send
from etp.frame import FRAME_SIZE, Frame, decode
from etp.record import lot_of, message_id_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.books import BatteryBooks, Violation, whole
from sim.invariants.naive import RULES, SEALED, Stood, Won, needed

BID: Final = MessageType.BID.value
RESPONSE: Final = MessageType.RESPONSE.value
REJECT: Final = MessageType.REJECT.value
ENGLISH: Final = "english"
IMMEDIATE: Final = "first-above-reserve"
STANDING: Final = "standing"
OLDEST_US: Final = 550_000
"""Age beyond which a Bid or a Confirm is late: 500 ms and 50 ms for clocks, µs (design §3)."""
NEWEST_US: Final = 5_000_000
"""By how much a Bid or a Confirm may be ahead of the battery's clock, µs (design §3)."""
DIVISIBLE: Final = "uniform"
"""Where a bid may ask for more than the lot."""
BY_THE_LOT: Final = frozenset({RejectCode.BELOW_RESERVE, RejectCode.INSUFFICIENT})
"""Refusals that its lot's terms bear out, or not; and terms stay as they are while a bid stands."""

Ground = Callable[[Stood, bytes, Now], bool]


class Auction:
    """See the module."""

    def __init__(self, books: BatteryBooks, is_barred: Callable[[int, Now], bool] = lambda *_: False) -> None:
        self._books, self._is_barred = books, is_barred
        self._sealed, self._english = books.mechanism in SEALED, books.mechanism == ENGLISH
        self._standing: dict[int, Stood] = {}
        self._refused: list[tuple[Stood, int]] = []
        """Bids that were refused by the lot's terms while others stood in it, and the code."""
        self._lot_id = 0
        self._arrivals = 0
        self._began_us: int | None = None
        """When this life began, by the battery's wall clock; None: its first turn is still to come."""
        self._latest_us = 0
        """The furthest that this clock was: set back, it gives no ids, and the battery sells nothing."""
        self._grounds: dict[int, Ground] = {
            RejectCode.BELOW_RESERVE: self._may_be_low,
            RejectCode.INSUFFICIENT: self._may_be_unfit,
            RejectCode.OUTBID: self._is_outbid,
            RejectCode.LOT_CLOSED: self._is_elsewhere,
            RejectCode.LATE: self._is_late,
            RejectCode.INVALID: lambda _, raw, now: message_id_of(raw) > now.wall_us + NEWEST_US,
            RejectCode.UNAVAILABLE: self._is_unavailable,
            RejectCode.TOO_MANY: lambda *_: True,  # its rate, or its guesses at a hidden reserve, are not counted here
        }
        """Code of a Reject → whether the Bid that it answers can have earned it."""

    def turn(self, now: Now) -> None:
        """The battery decides something."""
        if self._began_us is None:
            self._began_us = now.wall_us
        self._latest_us = max(self._latest_us, now.wall_us)

    def bid(self, bidder: int, raw: bytes, effects: Sequence[Effect], now: Now, *, new: bool) -> Iterator[Violation]:
        """A Bid, and all that the battery does about it. What it does not record is an answer that it gave before.

        `new`: this life of the battery has not had these bytes yet.
        """
        state = next((effect.row.state for effect in effects if type(effect) is RecordBid), None)
        frame = decode(raw[:FRAME_SIZE])
        bid = Stood(
            bidder,
            round(frame.bid_price * MICRO_PER_CENT),
            round(frame.required_energy_amount * WH_PER_KWH),
            self._arrivals + 1,
        )
        answer = _answer(bid, effects)
        won = self._books.mechanism == IMMEDIATE and state == STANDING
        told = any(type(each) is Commit for each in effects) if won else answer is not None
        if not told and (new or state is not None):
            yield Violation("answered", self._books.device_id, f"the Bid {frame.message_id} of {bidder} has no answer")
        if state is None:
            return
        self._arrivals += 1
        if self._books.mechanism == IMMEDIATE:
            self._standing = {bidder: bid} if won else {}  # it has won: the Accept is its answer
        if answer is None:
            return
        frame, lot_id = answer
        if frame.message_type == RESPONSE:
            yield from self._takes_part(bid, lot_id)
        else:
            yield from self._rejected(bid, frame.termination_code, raw, now)

    def _takes_part(self, bid: Stood, lot_id: int) -> Iterator[Violation]:
        if lot_id != self._lot_id:
            self._lot_id = lot_id
            if self._standing:
                yield self._broken(
                    f"lot {lot_id} takes bids before {sorted(self._standing)} were told of the one before"
                )
            self._standing.clear()
            self._refused.clear()
        if bid.price < self._books.reserve:
            said = f"{bid.bidder} takes part in lot {lot_id} with {bid.price} µ/kWh; at least {self._books.reserve}"
            yield Violation("reserve", self._books.device_id, said)
        if self._english:
            least = needed(self._leader, self._books.increment)
            if bid.price < least:
                yield self._broken(f"{bid.bidder} leads lot {lot_id} with {bid.price} µ/kWh; {least} is needed")
            self._standing.clear()
        self._standing[bid.bidder] = bid

    def _rejected(self, bid: Stood, code: int, raw: bytes, now: Now) -> Iterator[Violation]:
        """A Reject frees the bidder (design §4); what leads an english lot, or is in another lot, stays."""
        ground = self._grounds.get(code)
        if ground is None or not ground(bid, raw, now):
            said = f"{bid} is refused as {code} in lot {self._lot_id}, where {list(self._standing.values())} stand"
            yield Violation("answered", self._books.device_id, said)
        if self._standing and code in BY_THE_LOT:
            self._refused.append((bid, code))
        if self._sealed and lot_of(raw) in (None, self._lot_id):
            self._leaves(bid.bidder)

    # -- what a Bid may be refused for (design §3, Codes; §4)

    def _may_be_low(self, bid: Stood, _: bytes, __: Now) -> bool:
        return self._books.dearest is None or bid.price < self._books.dearest

    def _may_be_unfit(self, bid: Stood, _: bytes, __: Now) -> bool:
        least = self._books.min_lot
        return self._books.mechanism != DIVISIBLE or least is None or bid.energy < least

    def _is_outbid(self, bid: Stood, _: bytes, __: Now) -> bool:
        leader = self._leader
        return self._english and leader is not None and bid.price < needed(leader, self._books.increment)

    def _is_elsewhere(self, _: Stood, raw: bytes, __: Now) -> bool:
        about = lot_of(raw)
        return about is not None and not (self._standing and about == self._lot_id)

    def _is_late(self, _: Stood, raw: bytes, now: Now) -> bool:
        stamped_us, began_us = message_id_of(raw), self._began_us
        return stamped_us < now.wall_us - OLDEST_US or (began_us is not None and stamped_us < began_us)

    def _is_unavailable(self, bid: Stood, _: bytes, now: Now) -> bool:
        """While somebody stands in it a lot is open, and for sale: what is said against a bid concerns its bidder, or the disk."""
        return not self._standing or now.wall_us < self._latest_us or self._is_barred(bid.bidder, now)

    def _borne_out(self, lot: Row) -> Iterator[Violation]:
        """What was refused by the lot's terms, now that the lot says them."""
        energy, reserve = whole(lot, "energy_wh"), whole(lot, "reserve_micro_per_kwh")
        least = self._books.min_lot
        for bid, code in self._refused:
            if code == RejectCode.BELOW_RESERVE:
                wrong = bid.price >= reserve
            else:
                fits = bid.energy <= energy or self._books.mechanism == DIVISIBLE
                wrong = fits and least is not None and bid.energy >= min(least, energy)
            if wrong:
                said = f"{bid} is refused as {code} in lot {lot.lot_id} of {energy} Wh from {reserve} µ/kWh on"
                yield Violation("answered", self._books.device_id, said)

    @property
    def _leader(self) -> Stood | None:
        return next(iter(self._standing.values()), None)

    def withdrawn(self, bidder: int, about: int | None = None) -> None:
        """A Terminate of the bidder, about a lot (None: it cannot say), or its session is lost: only a sealed bid goes."""
        if self._sealed and about in (None, self._lot_id):
            self._leaves(bidder)

    def _leaves(self, bidder: int) -> None:
        self._standing.pop(bidder, None)
        if not self._standing:
            self._refused.clear()  # the lot may be offered anew, on other terms

    def ended(self, lot: Row, promises: Sequence[Row], *, failed: bool) -> Iterator[Violation]:
        """The lot is over: the promises made for it, in the order in which they were written.

        `failed`: the battery says in the same turn that its device has failed, so nobody wins, whatever stood.
        """
        reserve = whole(lot, "reserve_micro_per_kwh")
        yield from self._borne_out(lot)
        standing = list(self._standing.values())
        self._standing.clear()
        self._refused.clear()
        if not promises:
            if standing and not failed:
                yield self._broken(f"lot {lot.lot_id} ends unsold, and {standing} stood in it")
            return
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
        self._standing.clear()
        self._refused.clear()
        self._lot_id, self._began_us = 0, None

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
