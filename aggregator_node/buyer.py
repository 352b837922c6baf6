"""The buyer's core: one affair at each battery, from Response to trade. Effects out; no clock, socket or file.

What is bid stays in the exposure until its fate is known; a Confirm leaves only after its row is durable (design §4).
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from aggregator_node.affair import Affair
from aggregator_node.bids import Bids
from aggregator_node.books import NEVER, NO_DAYS, Books, Purse
from aggregator_node.directory import Directory
from aggregator_node.portfolio import Portfolio
from aggregator_node.promises import Promises
from aggregator_node.view import Strategy
from aggregator_node.worth import Worth
from etp.clock import Now
from etp.codes import MessageType
from etp.effects import Commit, Count, Effect, Envelope, Lookup, Row, Send
from etp.evidence import UNPROVEN
from etp.frame import Frame
from etp.profile import Profile
from etp.record import sender_of
from etp.session import Violation
from etp.state import AffairState
from etp.timing import Timing
from etp.units import DeviceId, MonotonicS, Wh
from runtime.days import MarketClock

Handler = Callable[[Affair, Frame, bytes, Now], list[Effect]]


class Buyer:
    """See the module. What a kWh is worth to it is `worth`'s to say."""

    def __init__(
        self,
        device_id: DeviceId,
        *,
        worth: Worth,
        portfolio: Portfolio,
        strategy: Strategy,
        profile: Profile,
        rng: random.Random,
        timing: Timing,
        purse: Purse | None = None,
        clock: MarketClock = NO_DAYS,
        patience_s: float = 0.0,
    ) -> None:
        """`purse`: what its escrow can pay, in a market that settles; `patience_s`: how long the demand may wait, of market time."""
        self.device_id = device_id
        self.books = Books(
            device_id,
            worth,
            portfolio,
            strategy.fresh(),
            profile,
            rng,
            timing,
            purse=purse,
            clock=clock,
            patience_s=patience_s,
        )
        self._bids = Bids(self.books)
        self._promises = Promises(self.books, self._bids)
        self._period_at = NEVER
        self._handlers: Final[dict[int, Handler]] = {
            MessageType.RESPONSE: self._bids.response,
            MessageType.REJECT: self._bids.rejected,
            MessageType.ACCEPT: self._promises.accepted,
            MessageType.TERMINATE: self._promises.terminated,
            MessageType.DEVICE_FAILURE: self._failure,
        }

    @property
    def portfolio(self) -> Portfolio:
        """What it wants and has."""
        return self.books.portfolio

    @property
    def directory(self) -> Directory:
        """The batteries that it knows."""
        return self.books.directory

    @property
    def worth(self) -> Worth:
        """What a kWh is worth to it."""
        return self.books.worth

    @property
    def reply_times(self) -> deque[tuple[str, float]]:
        """What answered since this was read last, and after how many ms."""
        return self.books.reply_times

    @property
    def open_promises(self) -> int:
        """Confirms that are not answered."""
        return len(self._promises.open)

    @property
    def promised_wh(self) -> Wh:
        """Energy of those."""
        return Wh(sum(promise.energy for promise in self._promises.open))

    @property
    def stopping(self) -> bool:
        """No new bids; promises are still seen through."""
        return self.books.stopping

    def stop(self) -> None:
        """No new bids from now on."""
        self.books.stopping = True

    def restored(self, pending: Iterable[Row], trades: Iterable[Row], now: Now) -> None:
        """After a restart: what was bought is bought; unanswered Confirms are sent again once their battery is reached."""
        self._promises.restored(pending, trades, now)

    def funded(self, now: Now) -> None:
        """The escrow was read: what it has room for now may be bid for."""
        self.books.look_soon(now)

    # -- sessions

    def hello(self, now: Now, to: DeviceId | None = None) -> Envelope:
        """A Query for a battery just dialled: see `Bids.hello`."""
        return self._bids.hello(now, to)

    def session_opened(self, device_id: DeviceId, now: Now, address: str = "") -> list[Effect]:
        """Connected: a Confirm or bid of unknown fate goes first, byte for byte; then ask what is for sale."""
        affair = self.books.affair(device_id, now.monotonic_s)
        if affair is None:
            return [Count("batteries_refused")]
        affair.battery.connected, affair.battery.address = True, address
        if self._period_at == NEVER:
            self._begin_period(now)
        again: list[Effect] = []
        if affair.promise is not None and affair.promise.durable:
            again = self._promises.confirm_again(affair, affair.promise, now)
        elif affair.bid is not None:
            again = [Send(device_id, affair.bid)]
        effects = [*again, *self._bids.query(affair, now)]
        self.books.schedule(affair)
        return effects

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:  # noqa: ARG002 - every input carries its instant
        """Disconnected: what is bid or promised stays in the exposure until its fate is known."""
        affair = self.books.affairs.get(device_id)
        if affair is not None:
            affair.battery.connected = False
            self.books.schedule(affair)
        return []

    # -- frames

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now, *, fresh: bool = True) -> list[Effect]:
        """A valid frame of the role from a battery's session. What is not `fresh` is at most an answer that was stored."""
        books = self.books
        affair = books.affair(device_id, now.monotonic_s)
        if affair is None:
            return [Count("batteries_refused")]
        if not fresh and not affair.may_be_stored_answer(frame, raw):
            return books.evidence.keep(device_id, "replay", [raw], now)
        affair.battery.last_seen_s = now.monotonic_s
        if frame.message_type != MessageType.STATUS:  # which says nothing of a lot
            affair.news_s = now.monotonic_s
        affair.heard_id = max(affair.heard_id, frame.message_id)
        books.portfolio.begin(books.worth.period(now.monotonic_s))
        handle = self._handlers.get(frame.message_type)
        effects = handle(affair, frame, raw, now) if handle else []
        books.schedule(affair)
        return effects

    def blamed(self, violation: Violation, now: Now) -> list[Effect]:
        """A message against the rules: what concerns identity is kept, as it came."""
        if violation.kind not in UNPROVEN or not violation.raw:
            return []
        return self.books.evidence.keep(sender_of(violation.raw), violation.kind, [violation.raw], now)

    def _failure(self, affair: Affair, frame: Frame, _: bytes, now: Now) -> list[Effect]:
        if affair.state is AffairState.BIDDING:
            self.books.free(affair, now)
        affair.battery.for_sale = Wh(0)
        return [Count("device_failures", str(frame.termination_code))]

    # -- the journal

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """A commit is durable."""
        return self._promises.committed(commit, now)

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """A commit could not be made durable: it never happened."""
        return self._promises.commit_failed(commit, now)

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """The journal's answer to a `Lookup`."""
        return self._promises.found(lookup, row, now)

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        books, first = self.books, self._period_at
        for due in (books.look_at, books.agenda.next(), self._promises.next_retry_s()):
            if due is not None and due < first:
                first = due
        return None if first == NEVER else MonotonicS(first)

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due: Confirms again, unresolved ones, silent bids, a fresh Query; another half-hour, another value."""
        books = self.books
        effects = self._promises.retried(now)
        for device_id in list(books.agenda.pop_due(now.monotonic_s)):
            effects += self._due(books.affairs[device_id], now)
            books.schedule(books.affairs[device_id])
        if now.monotonic_s >= self._period_at:
            self._begin_period(now)
            books.look_at = now.monotonic_s
        return effects + (self._bids.look(now) if now.monotonic_s >= books.look_at else [])

    def _begin_period(self, now: Now) -> None:
        books = self.books
        changes_at = books.worth.changes_at(now.monotonic_s)
        self._period_at = NEVER if changes_at is None else changes_at
        books.portfolio.begin(books.worth.period(now.monotonic_s))
        for affair in books.affairs.values():
            if affair.too_little:
                affair.too_little, affair.not_before_s = False, now.monotonic_s

    def _due(self, affair: Affair, now: Now) -> list[Effect]:
        if affair.promise is not None:
            return self._promises.due(affair, affair.promise, now)
        if affair.put_off:
            affair.put_off = False
            return self._bids.bid(affair, now)
        affair.news_s = now.monotonic_s
        return [Send(affair.battery.device_id, affair.bid)] if affair.bid is not None else self._bids.query(affair, now)
