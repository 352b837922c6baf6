"""The counter for promises: reserve → accept → confirm → finished, each step durable before it is said (design §4)."""

from collections.abc import Callable, Iterable
from typing import Final

from bess_node import rows
from bess_node.affairs import Affair, Reservation
from bess_node.books import Books, OpenLot
from contracts import outbox
from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, TerminateCode
from etp.effects import Commit, Count, Effect, Envelope, Lookup, Row, Send, Settle, Write
from etp.frame import Frame
from etp.profile import Plain
from etp.record import NO_LOT, lot_of
from etp.state import AffairInput, LotState
from etp.timing import carries_time
from etp.units import DeviceId, LotId, MicroPerKwh, MonotonicS, money
from market.auction import Award

STORAGE_RETRY_S: Final = 1.0
"""After a failed commit nothing new is promised for this long, and what must be written is tried again."""

CONFIRMS_WAITING: Final = 8
"""Confirms of one buyer that wait while another one is being decided; an honest buyer has one."""
SKEW_US: Final = 500_000
"""By how much a buyer's clock may be behind when its Confirm is matched with a lot: beyond it, it would not have bid, µs."""

Step = Callable[[Reservation, Commit, Now], list[Effect]]


class Promises:
    """See the module."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._retries: list[tuple[float, Commit]] = []
        self.restoring = False
        """What the last life had reserved is not released durably (yet)."""
        self._durable: dict[str, Step] = {
            "reserve": self._reserved,
            "confirm": self._confirmed,
            "release": self._freed,
        }
        self._failed: dict[str, Step] = {"reserve": self._not_reserved, "confirm": self._not_confirmed}

    def reserve(self, lot: OpenLot, awards: Iterable[Award], ended: Row, now: Now) -> list[Effect]:
        """Reserve what a closed lot awards; the Accepts follow once that is durable, together with how the lot ended."""
        made = [self._reservation(lot, index, award, now) for index, award in enumerate(awards)]
        if not made:
            return [Write((ended,))]
        written = (ended, *(rows.reserved(r, now.wall_us) for r in made))
        return [Commit(written, "reserve", tuple(r.lot_id for r in made), now.monotonic_s)]

    def _reservation(self, lot: OpenLot, index: int, award: Award, now: Now) -> Reservation:
        # One lot_id has at most one buyer, ever: further winners of a divided lot get ids of their own.
        lot_id = lot.lot_id if index == 0 else LotId(self._books.profile.ids.next(now.wall_us))
        affair = self._books.affairs.get(award.bid.bidder, now.monotonic_s)
        assert affair.live is not None
        made = Reservation(lot_id, affair.device_id, affair.live, award.energy, award.paid, now.wall_us)
        affair.live.answer.envelope = None  # the Accept is its answer, once it is durable
        affair.live, affair.reservation = None, made
        affair.move(AffairInput.WON)
        self._books.reservations.add(made)
        affair.promised = made.lot_id
        return made

    # -- what the journal says

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are durable."""
        if commit.purpose == "restart":
            self.restoring = False
        return self._told_short(commit, now) if commit.purpose == "short" else self._after(commit, self._durable, now)

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are not in the journal and will not be."""
        self._books.storage_bad_until_s = now.monotonic_s + STORAGE_RETRY_S
        if commit.purpose in ("release", "short"):
            self._retries.append((self._books.storage_bad_until_s, commit))
        return [Count("commits_failed", commit.purpose), *self._after(commit, self._failed, now)]

    def _after(self, commit: Commit, steps: dict[str, Step], now: Now) -> list[Effect]:
        step = steps.get(commit.purpose)
        found = (self._books.reservations.get(LotId(key)) for key in commit.keys)
        return [effect for r in found if step and r for effect in step(r, commit, now)]

    def _reserved(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        if r.resolving:
            return []
        slow = now.monotonic_s - commit.asked_s > self._books.timing.accept_commit_limit_ms / 1000
        if slow or not self._books.selling:
            return self.release(r, "accept not sent", now)
        frame = messages.accept(
            self._books.device_id, energy=r.energy, paid=r.paid, bid_price=r.live.bid.price, offer=self._books.offer()
        )
        accept = r.live.answer.envelope = Envelope(frame, lot_id=r.lot_id)
        self._books.stamped(accept, r.bidder, now)
        deadline_s = MonotonicS(now.monotonic_s + self._books.timing.confirm_window_ms / 1000)
        self._books.reservations.accepted(r, accept, deadline_s)
        return [Send(r.bidder, accept), Count("promises", "accepted")]

    def _not_reserved(self, r: Reservation, _: Commit, now: Now) -> list[Effect]:
        self._forget(r, now)
        return [Send(r.bidder, self._unavailable(r))]

    def _unavailable(self, r: Reservation) -> Envelope:
        r.live.answer.envelope = self._books.reject(
            RejectCode.UNAVAILABLE, price=r.live.bid.price, lot_id=r.live.lot_id
        )
        return r.live.answer.envelope

    def _confirmed(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        affair = self._forget(r, now, AffairInput.FINISHED)
        affair.traded()
        answer = self._remember(affair, commit.rows[-1])
        self._books.store.sold(r.lot_id, r.bidder, r.energy, r.paid, now)
        owed = [Settle(row) for row in commit.rows if row.kind == outbox.KIND]
        counted = [
            Count("promises", "confirmed"),
            Count("sold_wh", amount=r.energy),
            Count("earned_micro", amount=money(r.paid, r.energy)),
        ]
        return [Send(r.bidder, answer), *counted, *owed, *self._answer_others(affair, r, now)]

    def _answer_others(self, affair: Affair, r: Reservation, now: Now) -> list[Effect]:
        """Confirms that waited for this decision now match nothing in force: the journal answers them."""
        return [effect for frame, raw in r.others for effect in self.confirm(affair, frame, raw, now)]

    def _not_confirmed(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        r.resolving = False
        confirm, _ = _exchange(commit.rows[-1])
        return self.release(r, "journal failed", now, code=TerminateCode.CANNOT_DELIVER, confirm=confirm)

    def _freed(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        affair = self._forget(r, now)
        if commit.rows[-1].kind == "answer":
            answer = self._remember(affair, commit.rows[-1])
        elif r.accept is None:
            answer = self._unavailable(r)
        else:
            ours = self._books.failure is not None or commit.rows[0].body["reason"] == "journal failed"
            answer = self._books.terminate(TerminateCode.CANNOT_DELIVER if ours else TerminateCode.TIMEOUT, r.lot_id)
        return [Send(r.bidder, answer), *self._answer_others(affair, r, now)]

    def _told_short(self, commit: Commit, now: Now) -> list[Effect]:
        """The buyer may not have heard yet that it has a trade: then a refund alone would read as if there were none.

        In `plain` a FINISHED names no lot, and would end whatever promise that buyer has open: one that we gave up, perhaps, whose
        Confirm is on its way. Who was promised a newer lot has heard of this one (one affair at a time), and is not told again.
        """
        names_lots = self._books.profile.name != Plain.name
        effects: list[Effect] = []
        for row in commit.rows:
            if row.state == "short":
                bidder = DeviceId(int(str(row.body["bidder"])))
                newest = self._books.affairs.get(bidder, now.monotonic_s).promised
                unheard = names_lots or newest <= row.lot_id
                codes = [TerminateCode.FINISHED] * unheard + [TerminateCode.CANNOT_DELIVER]
                effects += [Send(bidder, self._books.terminate(code, LotId(row.lot_id))) for code in codes]
        return effects

    @staticmethod
    def _remember(affair: Affair, row: Row) -> Envelope:
        """Keep the answer in an `answer` row for when its Confirm is repeated; returns that answer."""
        confirm, answer = _exchange(row)
        affair.remember_confirm(int.from_bytes(confirm[1:9], "little"), confirm, answer)
        return answer

    def _forget(self, r: Reservation, now: Now, cause: AffairInput = AffairInput.RELEASED) -> Affair:
        self._books.reservations.remove(r)
        affair = self._books.affairs.get(r.bidder, now.monotonic_s)
        affair.reservation = None
        affair.move(cause)
        return affair

    # -- Confirms

    def confirm(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """Answer a Confirm: the promise in force decides, or what the journal knows."""
        known = affair.confirms.get(frame.message_id)
        if known is not None and known[0] == raw:
            return [Count("repeated", "CONFIRM"), *([Send(affair.device_id, known[1])] if known[1] else [])]
        if known is not None and carries_time(frame.message_id):
            return self._reused(affair, [known[0], raw], now)
        r, about = affair.reservation, lot_of(raw)
        if r is None or r.accept is None or about not in (None, r.lot_id):
            subject = rows.confirm_subject(affair.device_id, frame.message_id)
            return [Lookup("answer", subject, affair.device_id, frame, raw)]
        if r.resolving:
            if len(r.others) < CONFIRMS_WAITING:
                r.others.append((frame, raw))
            return [Count("confirms_waiting")]
        return self._decide(affair, r, frame, raw, now)

    def _decide(self, affair: Affair, r: Reservation, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        terms = messages.terms(frame)
        overdue = r.deadline_s is None or now.monotonic_s >= r.deadline_s
        if overdue or self._books.is_late(frame, now) or self._books.is_from_future(frame, now):
            return self.release(r, "late confirm", now, code=TerminateCode.TIMEOUT, confirm=raw)
        if (terms.energy, terms.paid) != (r.energy, r.paid):
            self._declined(affair, now)
            return self.release(r, "other terms", now, code=TerminateCode.CANNOT_DELIVER, confirm=raw)
        self._books.reservations.resolve(r)
        affair.move(AffairInput.CONFIRMED)
        answer = self._books.stamped(self._books.terminate(TerminateCode.FINISHED, r.lot_id), r.bidder, now)
        *traded, told = rows.confirmed(r, now.wall_us, confirm=raw, answer=answer)
        written = (
            *traded,
            *self._books.owed(raw, r.bidder, now),
            told,
        )  # what is owed follows its trade: readers know it then
        affair.remember_confirm(frame.message_id, raw, None)
        return [Commit(written, "confirm", (r.lot_id,), now.monotonic_s)]

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """The journal's word on a Confirm that matches nothing in force."""
        affair = self._books.affairs.get(lookup.device_id, now.monotonic_s)
        if lookup.kind == "answer":
            return self._found_answer(affair, lookup, row, now)
        about = lot_of(lookup.raw)
        if about is not None:
            return self._answer_for_lot(affair, lookup, row, about, now)
        about_it = row is not None and _is_about(row, lookup.frame)
        if lookup.kind == "promise" and not about_it:  # an older one, perhaps: the newest trade of these terms
            terms = messages.terms(lookup.frame)
            subject = rows.terms_subject(affair.device_id, terms.energy, terms.paid)
            return [lookup._replace(kind="trade", subject=subject)]
        stands = row is not None and about_it and row.state == LotState.CONFIRMED.value
        return self._answer_unmatched(affair, lookup, NO_LOT, stands=stands)

    def _answer_for_lot(
        self, affair: Affair, lookup: Lookup, delivery: Row | None, lot_id: LotId, now: Now
    ) -> list[Effect]:
        """A record names its lot, and the delivery of a lot is in the journal from the moment its trade is."""
        if lookup.kind != "energy":
            return [lookup._replace(kind="energy", subject=str(lot_id))]
        if not self._books.is_past(lot_id):
            # A Terminate now would be a refund of what this lot may yet be sold for.
            return self._refused(affair, "confirm_unasked", [lookup.raw], now)
        stands = delivery is not None and delivery.body["bidder"] == affair.device_id
        return self._answer_unmatched(affair, lookup, lot_id, stands=stands)

    def _answer_unmatched(self, affair: Affair, lookup: Lookup, lot_id: LotId, *, stands: bool) -> list[Effect]:
        answer = self._books.terminate(TerminateCode.FINISHED if stands else TerminateCode.TIMEOUT, lot_id)
        affair.remember_confirm(lookup.frame.message_id, lookup.raw, answer)
        return [Send(affair.device_id, answer), Count("confirms_unmatched")]

    def _found_answer(self, affair: Affair, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        if row is not None:
            confirm, answer = _exchange(row)
            if confirm == lookup.raw:
                affair.remember_confirm(lookup.frame.message_id, lookup.raw, answer)
                return [Count("repeated", "CONFIRM"), Send(affair.device_id, answer)]
            if carries_time(lookup.frame.message_id):
                return self._reused(affair, [confirm, lookup.raw], now)
        return [Lookup("promise", str(affair.device_id), affair.device_id, lookup.frame, lookup.raw)]

    def _reused(self, affair: Affair, frames: list[bytes], now: Now) -> list[Effect]:
        return self._refused(affair, "confirm_id_reused", frames, now)

    def _refused(self, affair: Affair, kind: str, frames: list[bytes], now: Now) -> list[Effect]:
        refusal = self._books.reject(RejectCode.INVALID, price=MicroPerKwh(0), lot_id=lot_of(frames[-1]) or NO_LOT)
        evidence = self._books.evidence(affair.device_id, kind, frames, now)
        return [*evidence, Send(affair.device_id, refusal)]

    # -- giving up

    def release(
        self, r: Reservation, reason: str, now: Now, *, code: TerminateCode | None = None, confirm: bytes | None = None
    ) -> list[Effect]:
        """Give a promise up; its buyer is told, and its energy offered again, once that is durable."""
        self._books.reservations.resolve(r)
        written: tuple[Row, ...] = (rows.released(r, now.wall_us, reason),)
        if confirm is not None and code is not None:
            answer = self._books.stamped(self._books.terminate(code, r.lot_id), r.bidder, now)
            written += (rows.answered(r.lot_id, r.bidder, now.wall_us, confirm=confirm, answer=answer),)
        return [Commit(written, "release", (r.lot_id,), now.monotonic_s), Count("promises_released", reason)]

    def release_accepted(self, reason: str, now: Now) -> list[Effect]:
        """Give up what was accepted.

        What is still being reserved gives itself up once that is durable: were its end written now and its beginning failed,
        the journal would end what never began.
        """
        accepted = [r for r in self._books.reservations.values() if r.accept is not None and not r.resolving]
        return [effect for r in accepted for effect in self.release(r, reason, now)]

    def decline(self, affair: Affair, raw: bytes, now: Now) -> list[Effect]:
        """A Terminate from a buyer whose Accept is unresolved; in a record it names that Accept's lot."""
        r = affair.reservation
        if r is None or r.accept is None or r.resolving or lot_of(raw) not in (None, r.lot_id):
            return []
        self._declined(affair, now)
        return self.release(r, "declined", now)

    def _declined(self, affair: Affair, now: Now) -> None:
        affair.decline(now.monotonic_s, free_per_hour=self._books.limits.free_declines_per_hour)

    def short(self, ended: tuple[Row, ...], now: Now) -> list[Effect]:
        """Deliveries ended short: say so once that is durable."""
        if not ended:
            return []
        return [Commit(ended, "short", tuple(row.lot_id for row in ended), now.monotonic_s)]

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        expiry = self._books.reservations.next_deadline()
        if not self._retries:
            return expiry
        first = min(at for at, _ in self._retries)
        return MonotonicS(first if expiry is None else min(first, expiry))

    def advance(self, now: Now) -> list[Effect]:
        """Release what was not confirmed in time; try again what could not be written."""
        effects = self._expire(now)
        effects += [commit for at, commit in self._retries if at <= now.monotonic_s]
        self._retries = [retry for retry in self._retries if retry[0] > now.monotonic_s]
        return effects

    def _expire(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for r in self._books.reservations.expired(now.monotonic_s):
            self._books.affairs.get(r.bidder, now.monotonic_s).lapse(now.monotonic_s)
            effects += self.release(r, "no confirm", now)
        return effects

    def restored(self, pending: Iterable[Row], now: Now) -> list[Effect]:
        """After a restart: what was RESERVED is RELEASED, and known to have been promised."""
        open_rows = [row for row in pending if row.kind == "promise"]
        for row in open_rows:
            self._books.affairs.get(DeviceId(int(row.subject)), now.monotonic_s).promised = LotId(row.lot_id)
        written = tuple(
            Row(
                "promise",
                row.lot_id,
                LotState.RELEASED.value,
                now.wall_us,
                dict(row.body) | {"reason": "restart"},
                row.subject,
                pending=False,
            )
            for row in open_rows
        )
        self.restoring = bool(written)
        return [Commit(written, "restart", (), now.monotonic_s)] if written else []


def _exchange(row: Row) -> tuple[bytes, Envelope]:
    """The Confirm and its answer out of an `answer` row."""
    answer = Envelope(Frame(MessageType.TERMINATE), bytes.fromhex(str(row.body["answer"])))
    return bytes.fromhex(str(row.body["confirm"])), answer


def _is_about(row: Row, frame: Frame) -> bool:
    """Whether a Confirm can be about a promise: its terms, and not stamped before there was such a lot."""
    terms = messages.terms(frame)
    same = (row.body["energy_wh"], row.body["price_micro_per_kwh"]) == (terms.energy, terms.paid)
    return same and (
        not carries_time(frame.message_id) or frame.message_id + SKEW_US >= int(str(row.body["reserved_us"]))
    )
