"""The counter for promises: an Accept is confirmed once its row is durable, and its Confirm repeated until it is answered (design §4)."""

from collections.abc import Iterable
from typing import Final

from aggregator_node import rows
from aggregator_node.affair import PAUSE_S, Affair, Promise
from aggregator_node.bids import Bids
from aggregator_node.books import Books
from etp import messages
from etp.clock import Now
from etp.codes import MessageType, TerminateCode
from etp.effects import Commit, Count, Effect, Envelope, Lookup, Row, Send, Write
from etp.frame import Frame
from etp.record import NO_LOT, lot_of, message_id_of
from etp.state import AffairInput, AffairState
from etp.units import DeviceId, LotId, Wh, money

LONGEST_RETRY_S: Final = 30.0
COMMIT_LIMIT_S: Final = 0.4
REFUNDS: Final = (TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER)
"""A battery's record of these gives its buyer the money of that lot back."""


class Promises:
    """See the module."""

    def __init__(self, books: Books, bids: Bids) -> None:
        self._books, self._bids = books, bids
        self._traded: dict[DeviceId, tuple[int, bytes]] = {}
        """By battery: the lot of the last trade (0 in `plain`), and its Accept while that may still be young."""
        self._retries: list[tuple[float, Commit]] = []

    @property
    def open(self) -> list[Promise]:
        """Those whose Confirm is not answered."""
        return [affair.promise for affair in self._books.affairs.values() if affair.promise is not None]

    def restored(self, pending: Iterable[Row], trades: Iterable[Row], now: Now) -> None:
        """After a restart: what was bought is bought; unanswered Confirms are sent again once their battery is reached."""
        for row in trades:
            battery, energy, paid = rows.terms_of(row)
            self._books.portfolio.buy(battery, energy, paid)
            self._traded[battery] = row.lot_id, b""
            self._owe(row)
        for row in pending:
            affair = self._books.affair(rows.terms_of(row)[0], now.monotonic_s)
            assert affair is not None
            affair.state = AffairState.CONFIRMING
            self._resume(affair, row, now)

    def _owe(self, trade: Row) -> None:
        """A trade is owed until its payment is seen on the chain."""
        if self._books.purse is not None:
            battery, energy, paid = rows.terms_of(trade)
            self._books.purse.confirmed(battery, LotId(trade.lot_id), money(paid, energy), trade.time_us)

    def accepted(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """An Accept: of the live bid it becomes a promise; else it is known, or declined."""
        books = self._books
        if affair.promise is not None:
            known = affair.promise.accept == raw
            if not known and frame.message_id == message_id_of(affair.promise.accept):
                both = [affair.promise.accept, raw]
                return books.evidence.keep(affair.battery.device_id, "accept_id_reused", both, now)
            return self.confirm_again(affair, affair.promise, now) if known and affair.promise.durable else []
        if raw == affair.given_up:
            return self._decline(affair, TerminateCode.TIMEOUT, raw, now)
        books.answered(affair, "ACCEPT", now)
        code = self._fault(affair, frame, raw, now)
        if code is not None or self._is_traded(affair, raw):
            # One that we have confirmed before is confirmed again: the journal knows.
            return [Lookup("promise", str(affair.battery.device_id), affair.battery.device_id, frame, raw)]
        confirm = Envelope(messages.confirm(books.device_id, frame), lot_id=lot_of(raw) or NO_LOT)
        sealed = books.profile.stamp(confirm, affair.battery.device_id, now)
        row = rows.confirming(books.device_id, affair, frame, raw, confirm=sealed, now=now)
        self._won(affair, messages.terms(frame), now)
        affair.promise = Promise(raw, confirm, row, now.monotonic_s)
        return [Commit((row,), "confirming", (affair.battery.device_id,), now.monotonic_s)]

    def _won(self, affair: Affair, terms: messages.Terms, now: Now) -> None:
        books, battery = self._books, affair.battery
        books.strategy.won(battery.device_id, bid=affair.offered, paid=terms.paid)
        affair.bid = None
        if battery.of_own_lot:
            battery.for_sale = Wh(0)  # that lot is closed: the Response to the next one says what it asks
        affair.move(AffairInput.WON)
        affair.move(AffairInput.CONFIRMED)
        exposed = books.portfolio.exposed_wh
        books.portfolio.expose(battery.device_id, terms.energy, terms.paid)
        if books.portfolio.exposed_wh < exposed:
            books.look_soon(now)

    def _is_traded(self, affair: Affair, accept: bytes) -> bool:
        """Whether an Accept is of a trade that we hold: a battery's lots have rising ids."""
        lot_id, last = self._traded.get(affair.battery.device_id, (0, b""))
        return accept == last or (lot_of(accept) or lot_id + 1) <= lot_id

    def _fault(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> TerminateCode | None:
        """Why an Accept is not confirmed: late, unasked, dear, too much, or of no lot."""
        if self._books.too_old(frame, now):
            return TerminateCode.TIMEOUT
        if affair.bid is None or self._books.stopping or lot_of(raw) == NO_LOT:
            return TerminateCode.CANNOT_DELIVER
        asked, awarded = messages.terms(affair.bid.frame), messages.terms(frame)
        fair = 0 < awarded.paid <= asked.bid_price and 0 < awarded.energy <= asked.energy
        return None if fair else TerminateCode.CANNOT_DELIVER

    def _decline(self, affair: Affair, code: TerminateCode, accept: bytes, now: Now) -> list[Effect]:
        if affair.state is AffairState.BIDDING:
            self._books.free(affair, now)
        declined = Envelope(messages.terminate(self._books.device_id, code), lot_id=lot_of(accept) or NO_LOT)
        return [Send(affair.battery.device_id, declined), Count("declined", code.name)]

    def confirm_again(self, affair: Affair, promise: Promise, now: Now) -> list[Effect]:
        """The Confirm, byte for byte, and when it is sent next."""
        delay = min(self._books.timing.confirm_retry_ms / 1000 * 2**promise.attempt, LONGEST_RETRY_S)
        promise.attempt += 1
        promise.retry_s = now.monotonic_s + delay
        return [Send(affair.battery.device_id, promise.confirm)]

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The row is durable: the Confirm may leave, unless it would come too late."""
        affair = self._books.affairs[DeviceId(commit.keys[0])]
        promise = affair.promise
        if commit.purpose != "confirming" or promise is None:
            return []
        if now.monotonic_s - commit.asked_s > COMMIT_LIMIT_S:
            return self._give_up(affair, promise, TerminateCode.TIMEOUT, now)
        promise.durable, promise.since_s = True, now.monotonic_s
        effects = self.confirm_again(affair, promise, now)
        self._books.schedule(affair)
        return effects

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The row is not in the journal: nothing is confirmed."""
        affair = self._books.affairs[DeviceId(commit.keys[0])]
        if commit.purpose != "confirming" or affair.promise is None:
            self._retries.append((now.monotonic_s + PAUSE_S, commit))
            return []
        return self._give_up(affair, affair.promise, TerminateCode.CANNOT_DELIVER, now)

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """The journal's word on an Accept that answers no open bid: known byte for byte, its Confirm goes out again.

        And on a Terminate that is a refund: it is kept where there is a trade of its lot.
        """
        affair = self._books.affairs[lookup.device_id]
        if lookup.kind == "trade":
            return self._undelivered(affair, lookup.raw, now) if row is not None else []
        if row is None or row.body["accept"] != lookup.raw.hex():
            code = self._fault(affair, lookup.frame, lookup.raw, now) or TerminateCode.CANNOT_DELIVER
            return self._decline(affair, code, lookup.raw, now)
        if row.state == "released":  # a Confirm now could make a trade that we do not count
            return self._decline(affair, TerminateCode.TIMEOUT, lookup.raw, now)
        if row.state == "unresolved" and affair.state is AffairState.NONE:
            affair.move(AffairInput.WON)
            affair.move(AffairInput.CONFIRMED)
            self._resume(affair, row, now)
        confirm = Envelope(Frame(MessageType.CONFIRM), bytes.fromhex(str(row.body["confirm"])))
        return [Send(lookup.device_id, confirm), Count("repeated", "ACCEPT")]

    def _resume(self, affair: Affair, row: Row, now: Now) -> None:
        """Take up a promise whose Confirm has left: it is exposed, and its Confirm is sent until it is answered."""
        _, energy, paid = rows.terms_of(row)
        confirm = Envelope(Frame(MessageType.CONFIRM), bytes.fromhex(str(row.body["confirm"])), LotId(row.lot_id))
        accept = bytes.fromhex(str(row.body["accept"]))
        affair.promise = Promise(accept, confirm, row, now.monotonic_s, attempt=1, durable=True)
        self._books.portfolio.expose(affair.battery.device_id, energy, paid)
        self._books.schedule(affair)

    def _give_up(self, affair: Affair, promise: Promise, code: TerminateCode, now: Now) -> list[Effect]:
        affair.given_up = promise.accept
        self._close(affair, AffairInput.RELEASED, now)
        row = promise.row._replace(state="released", time_us=now.wall_us, pending=False)
        told = Envelope(messages.terminate(self._books.device_id, code), lot_id=promise.confirm.lot_id)
        return [Write((row,)), Send(affair.battery.device_id, told)]

    def _close(self, affair: Affair, cause: AffairInput, now: Now) -> None:
        affair.promise = None
        self._books.release(affair, cause, now)
        self._books.schedule(affair)

    def terminated(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """A Terminate: it ends our promise, speaks of an older trade, or says that the battery leaves."""
        promise, code, about = affair.promise, frame.termination_code, lot_of(raw)
        if code == TerminateCode.SHUTTING_DOWN and affair.state is AffairState.BIDDING:
            self._books.free(affair, now)
        ends = code <= TerminateCode.CANNOT_DELIVER
        if promise is not None and promise.durable and ends and about in (None, promise.confirm.lot_id):
            return self._ended(affair, promise, TerminateCode(code), raw, now)
        if about and code in REFUNDS:  # of a trade of ours? the journal knows, but for one that is on its way there
            if self._traded.get(affair.battery.device_id, (NO_LOT, b""))[0] == about:
                return self._undelivered(affair, raw, now)
            subject = rows.trade_subject(affair.battery.device_id, about)
            return [Lookup("trade", subject, affair.battery.device_id, frame, raw)]
        if code == TerminateCode.CANNOT_DELIVER and affair.battery.kept and promise is None:
            return self._undelivered(affair, raw, now)
        return []

    def _ended(self, affair: Affair, promise: Promise, code: TerminateCode, raw: bytes, now: Now) -> list[Effect]:
        books, battery, finished = self._books, affair.battery, code is TerminateCode.FINISHED
        if promise.attempt == 1:
            books.reply_times.append(("TERMINATE", (now.monotonic_s - promise.since_s) * 1000))
        if finished:
            books.portfolio.buy(battery.device_id, promise.energy, promise.paid)
        self._close(affair, AffairInput.FINISHED if finished else AffairInput.RELEASED, now)
        if finished:
            battery.kept += 1
        elif code is TerminateCode.CANNOT_DELIVER:
            battery.broken += 1
        written = rows.ended(promise, finished=finished, answer=raw, now=now)
        for trade in written[1:]:
            self._traded[battery.device_id] = trade.lot_id, promise.accept
            self._owe(trade)
        commit = Commit(written, "ended", (battery.device_id,), now.monotonic_s)
        return [commit, Count("promises", "finished" if finished else "released"), *self._bids.bid(affair, now)]

    def _undelivered(self, affair: Affair, raw: bytes, now: Now) -> list[Effect]:
        """A battery says that it cannot deliver what it sold."""
        affair.battery.broken += 1
        row = rows.undelivered(self._books.device_id, affair.battery.device_id, raw, now)
        return [Write((row,)), Count("trades_not_delivered")]

    # -- time

    def next_retry_s(self) -> float | None:
        """When a commit that failed is asked for again."""
        return min(at for at, _ in self._retries) if self._retries else None

    def retried(self, now: Now) -> list[Effect]:
        """Commits that failed and are due again."""
        due: list[Effect] = [commit for at, commit in self._retries if at <= now.monotonic_s]
        self._retries = [retry for retry in self._retries if retry[0] > now.monotonic_s]
        return due

    def due(self, affair: Affair, promise: Promise, now: Now) -> list[Effect]:
        """Its Confirm was not answered for long enough: again, or never more."""
        if now.monotonic_s < affair.unresolved_s:
            return self.confirm_again(affair, promise, now)
        row = promise.row._replace(state="unresolved", time_us=now.wall_us, pending=False)
        self._close(affair, AffairInput.RELEASED, now)
        return [Write((row,)), Count("promises", "unresolved")]
