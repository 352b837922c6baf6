"""The seller's core: what is for sale, the open lot, sessions and time. Effects out; no clock, socket or file.

One desk per battery; its counters are `bids` and `promises`, what they share is `books`. Every Bid is answered at once;
energy is promised only after its row is durable, freed only after that row is durable too, so that nothing is sold twice
whatever stops the node (design §4).
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from bess_node import public, rows
from bess_node.affairs import Affair, Affairs, LiveBid, Reservations
from bess_node.bids import Bids
from bess_node.books import Books, LotRules, OpenLot
from bess_node.promises import Promises
from bess_node.settlement import Settlement
from bess_node.store import Store
from etp import messages
from etp.clock import Now
from etp.clock_check import clock_warning
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.effects import Broadcast, Commit, Count, Disconnect, Effect, Envelope, Log, Lookup, Row, Scalar, Send, Write
from etp.evidence import UNPROVEN
from etp.frame import Frame
from etp.limits import Limits
from etp.profile import Profile
from etp.record import lot_of, sender_of
from etp.session import Violation
from etp.state import LotState
from etp.timing import TIMING, Timing
from etp.units import DeviceId, LotId, MicroPerKwh, MonotonicS, Wh
from market.auction import LotTerms

_BID: Final = MessageType.BID  # by name: to look it up in its Enum takes longer than what is done with it
STATUS_S: Final = TIMING[MessageType.STATUS].period_s or 0.0


class Desk:
    """See the module. `started` is when this process began: Bids stamped before it are late."""

    def __init__(
        self,
        device_id: DeviceId,
        *,
        rules: LotRules,
        store: Store,
        profile: Profile,
        limits: Limits,
        timing: Timing,
        started: Now,
        settlement: Settlement | None = None,
    ) -> None:
        self.device_id = device_id
        self.store = store
        self._mechanism = rules.mechanism
        self._books = Books(device_id, rules, store, profile, limits, timing, Affairs(limits))
        self._books.settlement = settlement
        self._bids = Bids(self._books, started.wall_us)
        self._promises = Promises(self._books)
        self._announced: tuple[LotId, Wh, MicroPerKwh] | None = None
        self._announce_at: float | None = None
        self._announced_s = float("-inf")
        self._status_at = MonotonicS(started.monotonic_s + STATUS_S)

    @property
    def reservations(self) -> Reservations:
        """Promises that are neither confirmed nor released."""
        return self._books.reservations

    @property
    def reserved_wh(self) -> Wh:
        """The energy of `reservations`."""
        return self._books.reserved_wh

    @property
    def selling(self) -> bool:
        """Whether it would open a lot if it had something to sell."""
        return self._books.selling

    @property
    def failure(self) -> FailureCode | None:
        """What the device failed with, while it does."""
        return self._books.failure

    @property
    def ready(self) -> bool:
        """Whether it may serve: what its last life had reserved is released, and that is durable."""
        return not self._promises.restoring

    @property
    def ask(self) -> MicroPerKwh:
        """The disclosed ask of the open lot; 0: none, or not disclosed."""
        return self._books.ask

    def quote(self) -> tuple[MicroPerKwh, Wh]:
        """The disclosed ask, and what may be bid for now."""
        return self._books.ask, self._books.available_wh

    def offer(self) -> messages.Offer:
        """What is held, and what may be bid for now."""
        return self._books.offer()

    def response(self) -> Envelope:
        """The Response of now, unasked."""
        return self._books.response()

    # -- what anybody may see

    def public_lot(self, now: Now) -> dict[str, Scalar]:
        """The open lot as far as it is public (`bess_node.public`)."""
        return public.lot(self._books, now)

    def sight(self) -> public.Sight:
        """What changes whenever something that is public may have changed."""
        return public.sight(self._books)

    @property
    def closed_below(self) -> LotId:
        """Every lot with an id below this has ended, and none that is still to come will have one."""
        return self._books.closed_below

    def view(self) -> dict[str, object]:
        """What the owner may see at any time: store, open lot and best standing bid."""
        books = self._books
        standing = self._mechanism.bids(books.lot.state) if books.lot else ()
        best = min(standing, key=lambda bid: bid.rank, default=None)
        return {
            "stored_wh": self.store.held_wh,
            "for_sale_wh": books.available_wh,
            "reserved_wh": books.reserved_wh,
            "to_deliver_wh": self.store.owed_wh,
            "reserve_micro_per_kwh": books.lot.terms.reserve if books.lot else None,
            "bidders": len({bid.bidder for bid in standing}),
            "best_bidder": best.bidder if best else None,
            "best_micro_per_kwh": best.price if best else None,
            "failure": books.failure.name if books.failure is not None else None,
        }

    # -- what is for sale

    def opened(self, now: Now) -> list[Effect]:
        """Open the first lot."""
        return self._refresh(now)

    def _refresh(self, now: Now) -> list[Effect]:
        """Open a lot, or let one without bids follow what is for sale and its reserve; announce what changed."""
        if not self._books.selling:
            return []
        if not self._books.has_bids:
            self._offer_anew(now)
        return self._announce(now)

    def _offer_anew(self, now: Now) -> None:
        books, lot = self._books, self._books.lot
        energy = self.store.for_sale_wh(books.reserved_wh)
        if energy <= 0:
            books.lot = None
            return
        reserve = self.store.reserve()
        if lot is not None and (lot.terms.energy, lot.terms.reserve) == (energy, reserve):
            return
        rules = books.rules
        terms = LotTerms(
            energy=energy,
            reserve=reserve,
            increment=rules.increment,
            closing_s=rules.closing_s,
            max_s=rules.max_s,
            hide_reserve=rules.hide_reserve,
        )
        lot_id = lot.lot_id if lot else LotId(books.profile.ids.next(now.wall_us))
        opened_us = lot.opened_us if lot else now.wall_us
        books.lot = OpenLot(lot_id, terms, self._mechanism.open(terms), sha256(), opened_us)

    def _announce(self, now: Now) -> list[Effect]:
        books = self._books
        current = (books.lot.lot_id if books.lot else LotId(0), books.available_wh, books.ask)
        if self._announced is not None and current[:2] == self._announced[:2] and books.has_bids:
            return []  # a moved ask is told to those who bid, nobody else
        if current == self._announced:
            return []
        due = self._announced_s + books.timing.response_interval_ms / 1000
        if now.monotonic_s < due:
            self._announce_at = due
            return []
        self._announced, self._announced_s, self._announce_at = current, now.monotonic_s, None
        told = books.response()
        return [Broadcast(told.frame, told.lot_id)]

    # -- sessions

    def session_bound(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """A session speaks for a device: an unresolved Accept is sent again first, byte for byte."""
        affair = self._books.affairs.get(device_id, now.monotonic_s)
        affair.connected = True
        if self._books.settlement is not None:
            self._books.settlement.met(device_id)
        reservation = affair.reservation
        if reservation is None or reservation.accept is None or reservation.resolving:
            return []
        return [Send(device_id, reservation.accept)]

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """A lost session withdraws its bid, unless that leads an english lot; a promise stands."""
        affair = self._books.affairs.get(device_id, now.monotonic_s)
        affair.connected = False
        return self._bids.session_lost(affair, now)

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now, *, fresh: bool = True) -> list[Effect]:
        """A valid frame of the role from a bound session. What is not `fresh` is at most a repetition of a Bid or Confirm."""
        affair = self._books.affairs.get(device_id, now.monotonic_s)
        if frame.message_type == _BID:
            return self._bid(affair, frame, raw, now, fresh=fresh)
        if frame.message_type == MessageType.CONFIRM:
            return self._promises.confirm(affair, frame, raw, now)  # bound to its lot: it may come again at any time
        if not fresh:
            return self._books.evidence(device_id, "replay", [raw], now)
        if frame.message_type == MessageType.QUERY:
            return self._query(affair, frame, now)
        if frame.message_type == MessageType.TERMINATE:
            return self._terminate(affair, frame, raw, now)
        return []

    def blamed(self, violation: Violation, now: Now) -> list[Effect]:
        """A message against the rules: what concerns identity is kept, as it came."""
        if violation.kind not in UNPROVEN or not violation.raw:
            return []
        return self._books.kept.keep(sender_of(violation.raw), violation.kind, [violation.raw], now)

    def _bid(self, affair: Affair, frame: Frame, raw: bytes, now: Now, *, fresh: bool) -> list[Effect]:
        effects = self._bids.receive(affair, frame, raw, now, fresh=fresh)
        if self._mechanism.immediate and self._books.has_bids:
            effects += self._close(now)
        return effects

    def _query(self, affair: Affair, frame: Frame, now: Now) -> list[Effect]:
        if self._books.is_late(frame, now) or self._books.is_from_future(frame, now):
            return [Count("late_messages", "QUERY")]
        return [Send(affair.device_id, self._books.response())]

    def _terminate(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """A buyer declines its Accept, or withdraws its sealed bid; a bid that leads an english lot binds."""
        effects = self._promises.decline(affair, raw, now)
        about_open_lot = lot_of(raw) in (None, self._books.lot_id)
        if not effects and about_open_lot and self._books.withdraw(affair):
            effects.append(Count("bids_withdrawn"))
        if frame.termination_code >= TerminateCode.SHUTTING_DOWN:
            effects.append(Disconnect(affair.device_id))
        return effects

    # -- the close

    def _close(self, now: Now) -> list[Effect]:
        lot = self._books.lot
        assert lot is not None
        capped = self._mechanism.capped(lot.state)
        closing = self._mechanism.close(lot.state, now.monotonic_s)
        self._books.lot = None
        state = LotState.RESERVED if closing.awards else LotState.VOID
        setter = self._bids.standing(closing.price_setter) if closing.price_setter else None
        ended = self._lot_row(lot, state, now, setter=setter, capped=capped)
        reserved = self._promises.reserve(lot, closing.awards, ended, now)
        offered = self._refresh(now)  # before the losers are told, so that they hear what is left for them
        effects: list[Effect] = [Count("lots_capped")] if capped else []
        for loser in closing.losers:
            effects += self._bids.lose(loser.bidder, RejectCode.ANOTHER_WON, now)
        return effects + reserved + offered

    def _lot_row(self, lot: OpenLot, state: LotState, now: Now, *, setter: LiveBid | None, capped: bool) -> Row:
        return rows.lot_closed(lot, state, now.wall_us, mechanism=self._mechanism.name, setter=setter, capped=capped)

    def _void(self, now: Now) -> list[Effect]:
        """The open lot ends unsold."""
        lot, self._books.lot = self._books.lot, None
        if lot is None:
            return []
        effects: list[Effect] = []
        for bid in self._mechanism.bids(lot.state):
            effects += self._bids.lose(bid.bidder, RejectCode.UNAVAILABLE, now)
        if lot.bids:
            effects.append(Write((self._lot_row(lot, LotState.VOID, now, setter=None, capped=False),)))
        return effects

    # -- what the journal says

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are durable."""
        effects = self._promises.committed(commit, now)
        return (
            effects if commit.purpose == "reserve" else effects + self._refresh(now)
        )  # reserved: offered anew already

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are not in the journal and will not be."""
        return self._promises.commit_failed(commit, now) + self._refresh(now)

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """The journal's word on a Confirm that matches nothing in force."""
        return self._promises.found(lookup, row, now)

    # -- failure and end

    def fail(self, code: FailureCode, now: Now) -> list[Effect]:
        """The device failed: tell everyone, accept nothing more, give up what is not confirmed, say what is not delivered."""
        if self.failure is not None:
            return []
        self._books.failure = code
        told = messages.device_failure(self.device_id, code)
        effects: list[Effect] = [Broadcast(told), Count("device_failures", code.name), *self._void(now)]
        effects += self._promises.release_accepted("device failure", now)
        return effects + self._promises.short(self.store.fail(now), now)

    def recovered(self, now: Now) -> list[Effect]:
        """The device works again: offer what it holds."""
        self._books.failure = None
        return self._refresh(now)

    def measured(self, temperature_c: float, now: Now) -> list[Effect]:
        """The battery's temperature, °C: too hot is a DeviceFailure that ends once it has cooled."""
        battery = self.store.battery
        battery.temperature_c = temperature_c
        if battery.overheated and self.failure is None:
            return self.fail(FailureCode.TEMPERATURE, now)
        if battery.cooled and self.failure is FailureCode.TEMPERATURE:
            return self.recovered(now)
        return []

    def stop(self, now: Now) -> list[Effect]:
        """No new lot; the open one is void, promises may still be confirmed."""
        self._books.stopping = True
        return self._void(now)

    def release_all(self, now: Now) -> list[Effect]:
        """Give up every promise that is still open: the grace period is over."""
        return self._promises.release_accepted("shutting down", now)

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        lot, first = self._books.lot, self._status_at
        closes_at = self._mechanism.closes_at(lot.state) if lot else None
        for due in (self._announce_at, closes_at, self._promises.next_deadline(), self.store.next_step()):
            if due is not None and due < first:
                first = MonotonicS(due)
        return first

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due: deliver, close, release, announce, report."""
        effects = self._deliver(now)
        lot = self._books.lot
        closes_at = self._mechanism.closes_at(lot.state) if lot else None
        if closes_at is not None and now.monotonic_s >= closes_at:
            effects += self._close(now)
        effects += self._promises.advance(now)
        if self._announce_at is not None and now.monotonic_s >= self._announce_at:
            self._announce_at = None
            effects += self._announce(now)
        return effects + self._report(now)

    def _deliver(self, now: Now) -> list[Effect]:
        step = self.store.next_step()
        return self._moved(now) if step is not None and now.monotonic_s >= step else []

    def _moved(self, now: Now) -> list[Effect]:
        """Let the battery catch up with the time."""
        ended = self.store.step(now)
        short = tuple(row for row in ended if row.state == "short")
        done = tuple(row for row in ended if row.state != "short")
        effects: list[Effect] = [Write(done)] if done else []
        return effects + self._promises.short(short, now) + self._refresh(now)

    def _report(self, now: Now) -> list[Effect]:
        if now.monotonic_s < self._status_at:
            return []
        self._status_at = MonotonicS(now.monotonic_s + STATUS_S)
        told: list[Effect] = [
            *clock_warning(self._books.profile.ids, now),
            Broadcast(self.store.status(self.device_id)),
        ]
        return [*self._moved(now), *told, *self._refresh(now)]

    def restored(self, pending: Iterable[Row], now: Now) -> list[Effect]:
        """After a restart: what was RESERVED is RELEASED, what was not delivered still is to be."""
        rows_left = list(pending)
        for row in rows_left:
            if row.kind == "energy":
                self.store.restore(row, now)
        effects = self._promises.restored(rows_left, now)
        released = sum(row.kind == "promise" for row in rows_left)
        return [*effects, Log("restored", {"released": released, "to_deliver_wh": self.store.owed_wh})]
