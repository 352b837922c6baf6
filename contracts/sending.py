"""Signed bytes on their way: the same ones to every RPC in use, again and again, until nothing is left for them to do."""

import random
from collections.abc import Sequence

from contracts.links import Ask, Link
from contracts.program_errors import Cause, explain
from contracts.rpc import Answer, Refused, Sendings, SendTransactions
from contracts.settler_limits import SettlerTiming
from contracts.shortage import Shortage
from contracts.transactions import Signer
from contracts.work import SettlerEffect, Work, WorkTable, after
from etp.clock import Now
from etp.effects import Count


class Sending:
    """See the module."""

    def __init__(
        self,
        work: WorkTable,
        links: Sequence[Link],
        signer: Signer,
        shortage: Shortage,
        *,
        timing: SettlerTiming,
        rng: random.Random,
    ) -> None:
        self._work, self._links, self._signer, self._shortage = work, links, signer, shortage
        self._timing, self._rng = timing, rng

    def take_off(self, work: Work, now: Now) -> None:
        """Send for the first time in this life what is durable."""
        self._work.take_off(work, now)
        self._send(work, now)
        self._work.poll_at(work, after(now, self._timing.poll_first_s))

    def advance(self, now: Now) -> None:
        """Send again what is due."""
        for lot_id in list(self._work.to_send.pop_due(now.monotonic_s)):
            self._send(self._work[lot_id], now)

    def _send(self, work: Work, now: Now) -> None:
        for link in self._links:
            self._queue(work, link)
        refusals_s = self._timing.retry.delay_s(work.refusals, self._rng) if work.refusals else 0
        self._work.to_send.set(work.entry.lot_id, after(now, max(self._timing.resend_s, refusals_s)))

    def _queue(self, work: Work, link: Link) -> None:
        """Who says that it has it need not be given it again; who is out of use is given what flies when it is back."""
        if link.usable and work.readings[link.number].status is None:
            link.queue(work.entry.lot_id)

    def came_into_use(self, link: Link) -> None:
        """Give an RPC what flies; what was refused elsewhere keeps its slower pace."""
        for work in self._work.all_flying():
            if not work.refusals:
                self._queue(work, link)

    def pump(self) -> list[SettlerEffect]:
        """Fill the places for transactions on their way to each RPC."""
        asks: list[SettlerEffect] = []
        for link in self._links:
            while lots := link.next_to_send():
                flying = [work for work in self._work.of(lots) if work.flying]
                raws = tuple(work.entry.attempt.raw for work in flying if work.entry.attempt is not None)
                if raws:
                    link.sends_in_flight += 1
                    keys = tuple(int(work.entry.lot_id) for work in flying)
                    asks.append(Ask(link.number, SendTransactions(raws), "send", keys))
        return asks

    # -- refusals

    def sent(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        """What an RPC says to transactions."""
        assert isinstance(answer, Sendings)
        effects: list[SettlerEffect] = []
        for lot_id, outcome in zip(ask.keys, answer.found, strict=True):
            work = self._work.get(lot_id)
            if isinstance(outcome, Refused) and work is not None and work.flying:
                effects += self._refused(work, outcome, now)
        return effects

    def _refused(self, work: Work, refused: Refused, now: Now) -> list[SettlerEffect]:
        failure = explain(self._signer.instructions.interface, refused)
        counted = Count("settlements_refused", refused.name)
        if failure.cause is Cause.DONE:
            self._work.poll_at(work, after(now, self._timing.tick_s))
        if failure.cause in (Cause.DONE, Cause.STALE):
            return [counted]
        work.refusals += 1
        return [counted, *self._blame(work, failure.cause, failure.words, now)]

    def failed(self, work: Work, refused: Refused, now: Now) -> list[SettlerEffect]:
        """An RPC says that it landed, and failed."""
        failure = explain(self._signer.instructions.interface, refused)
        return self._blame(work, failure.cause, failure.words, now)

    def _blame(self, work: Work, cause: Cause, words: str, now: Now) -> list[SettlerEffect]:
        """A refusal is a hint: the same bytes go on being sent, less often, until they are dead."""
        work.cause = cause
        if cause is Cause.SHORT:
            if work.short_since_s is None:
                work.short_since_s = now.monotonic_s
            self._shortage.look(work.entry, now)
            words = f"the escrow of buyer {work.entry.buyer} does not cover the amount: it must deposit"
        if cause is Cause.SETTLE:
            work.short_since_s = None
        if cause is Cause.PAYER:
            words = f"{words}: send SOL to {self._signer.battery}"
        if cause is Cause.OPERATOR:
            return self._work.refuse(work, words, now)
        return self._work.move(work, work.entry.state, now, words)
