"""What the generator does with its connections: schedules bids, matches answers to them, confirms trades. Knows no process.

Open loop: bid k is due at start + k / rate, whatever is unanswered, and its latency counts from that instant, so that a
server which stalls is charged for every bid that it kept waiting (no coordinated omission).
"""

import time
from collections import deque
from typing import Final

from benches.job import LEAD_EVERY, LEADING_MICRO, LOSING_MICRO, Job, Outcome
from benches.pool import Line, Pool
from benches.wire import MICRO_PER_CENT, Answer, EtpWire, Stamps, Wire
from etp.codes import MessageType, RejectCode, TerminateCode

GRACE_S: Final = 3.0
"""Answers are waited for so long after the last bid."""
RESPONSE: Final = int(MessageType.RESPONSE)
REJECT: Final = int(MessageType.REJECT)
OUTBID: Final = int(RejectCode.OUTBID)
LOSING_PRICES: Final = LEADING_MICRO - LOSING_MICRO
TRADE_MICRO: Final = 200_000
"""What a kWh is bought for where the first bid wins, µ/kWh."""
monotonic = time.monotonic


class Bidder:
    """Every tenth bid leads, each at a price of its own, by which its answer is known."""

    def __init__(self, pool: Pool[Wire], job: Job, stamps: Stamps) -> None:
        self.pool, self.job, self.outcome = pool, job, Outcome()
        self._stamps = stamps
        self._bids = job.begun
        self._turn = 0

    # -- bids

    def _price(self) -> int:
        number, self._bids = self._bids, self._bids + 1
        # Shifted each round of the connections, so that it is not always the same ones that lead.
        if (number + number // len(self.pool.lines)) % LEAD_EVERY == 0:
            return LEADING_MICRO + number
        return LOSING_MICRO + number % LOSING_PRICES

    def _bid(self, line: Line[Wire], since_s: float) -> None:
        price = self._price()
        line.open[price / MICRO_PER_CENT] = since_s
        line.send(line.wire.bid(price, self._stamps.next()))
        self.outcome.sent += 1

    def due(self, since_s: float) -> None:
        """A scheduled bid, from the next connection in turn."""
        line = self.pool.lines[self._turn]
        self._turn = (self._turn + 1) % len(self.pool.lines)
        self._bid(line, since_s)

    # -- answers

    def received(self, line: Line[Wire], data: bytes) -> None:
        """Match answers to bids."""
        now_s = monotonic()
        for answer in line.wire.answers(data):
            self._answered(line, answer, now_s)

    def _answered(self, line: Line[Wire], answer: Answer, now_s: float) -> None:
        kind, price, code, _ = answer
        if kind == RESPONSE or (kind == REJECT and code == OUTBID):
            since_s = line.open.pop(price, None)
            if since_s is not None:
                self.outcome.answer_us.append(int((now_s - since_s) * 1e6))
                self.outcome.leading += kind == RESPONSE
                self._free(line, now_s)
            elif kind == REJECT:
                self.outcome.displaced += 1
        elif kind != MessageType.STATUS:
            self._wrong(line, answer)

    def _free(self, line: Line[Wire], now_s: float) -> None:
        """Open loop: the schedule alone says when to bid."""

    def _wrong(self, line: Line[Wire], answer: Answer) -> None:
        line.open.pop(answer.price, None)
        name = f"{MessageType(answer.kind).name}({answer.code})"
        self.outcome.wrong[name] = self.outcome.wrong.get(name, 0) + 1

    @property
    def waiting(self) -> int:
        """Bids without an answer."""
        return sum(len(line.open) for line in self.pool.lines)

    # -- the phase

    def run(self, start_s: float) -> Outcome:
        """Bid as scheduled, then wait for what is unanswered."""
        period_s, total, number = 1 / self.job.rate, round(self.job.rate * self.job.seconds), 0
        lag_us = self.outcome.lag_us
        while number < total:
            now_s = monotonic()
            due_s = start_s + number * period_s
            if due_s <= now_s:
                self.due(due_s)
                lag_us.append(int((now_s - due_s) * 1e6))
                number += 1
            else:
                self.pool.wait(due_s - now_s, self.received)
        self._drain()
        self.outcome.seconds = monotonic() - start_s
        return self.outcome

    def _drain(self) -> None:
        end_s = monotonic() + GRACE_S
        while self.waiting and (left_s := end_s - monotonic()) > 0:
            self.pool.wait(min(left_s, 0.05), self.received)
        self.outcome.unanswered = self.waiting


class ClosedBidder(Bidder):
    """One outstanding bid a connection, the next as soon as it is answered: the most that so many can get through."""

    _until_s = float("inf")

    def _free(self, line: Line[Wire], now_s: float) -> None:
        if now_s < self._until_s:
            self._bid(line, now_s)

    def run(self, start_s: float) -> Outcome:
        """All bid at once, then each after its answer."""
        time.sleep(max(0.0, start_s - monotonic()))
        self._until_s = start_s + self.job.seconds
        for line in self.pool.lines:
            self._bid(line, monotonic())
        while (left_s := self._until_s - monotonic()) > 0:
            self.pool.wait(left_s, self.received)
        self.outcome.seconds = monotonic() - start_s
        answered = len(self.outcome.answer_us)
        self._drain()
        del self.outcome.answer_us[answered:]  # the rate counts what was answered in time
        return self.outcome


class Trader(Bidder):
    """Each bid is accepted at once and confirmed at once; a device has one affair at a time, so the next free one bids."""

    def __init__(self, pool: Pool[Wire], job: Job, stamps: Stamps) -> None:
        super().__init__(pool, job, stamps)
        self._idle = deque(pool.lines)
        self._late: deque[float] = deque()
        """Scheduled bids that found every device busy; they are measured from their instants all the same."""
        self._since: dict[Line[Wire], float] = {}
        self._confirmed: dict[Line[Wire], float] = {}

    def due(self, since_s: float) -> None:
        """A scheduled bid, from a device that has no affair."""
        if self._idle:
            self._trade(self._idle.popleft(), since_s)
        else:
            self._late.append(since_s)

    def _trade(self, line: Line[Wire], since_s: float) -> None:
        self._since[line] = since_s
        line.send(line.wire.bid(TRADE_MICRO, self._stamps.next()))
        self.outcome.sent += 1

    def _answered(self, line: Line[Wire], answer: Answer, now_s: float) -> None:
        if answer.kind == MessageType.ACCEPT and line in self._since:
            assert isinstance(line.wire, EtpWire)
            assert answer.packet is not None
            line.send(line.wire.confirm(answer.packet, self._stamps.next()))
            self.outcome.answer_us.append(int((now_s - self._since.pop(line)) * 1e6))
            self._confirmed[line] = now_s
        elif answer.kind == MessageType.TERMINATE and answer.code == TerminateCode.FINISHED and line in self._confirmed:
            self.outcome.finished_us.append(int((now_s - self._confirmed.pop(line)) * 1e6))
            self._next(line)
        elif answer.kind not in (MessageType.STATUS, MessageType.RESPONSE):
            self._wrong(line, answer)
            if self._since.pop(line, None) or self._confirmed.pop(line, None):
                self._next(line)

    def _next(self, line: Line[Wire]) -> None:
        if self._late:
            self._trade(line, self._late.popleft())
        else:
            self._idle.append(line)

    @property
    def waiting(self) -> int:
        """Trades that are not finished, and bids that never left."""
        return len(self._since) + len(self._confirmed) + len(self._late)
