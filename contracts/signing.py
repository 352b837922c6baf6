"""What is signed, and when: the next transaction of each trade that is at rest, made durable before anything else happens."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from contracts.errors import ContractsError
from contracts.evidence import is_most
from contracts.links import Ask, Link, in_use
from contracts.outbox import Act, Entry, OutboxState, row
from contracts.rpc import Accounts, Answer
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.shortage import Shortage
from contracts.transactions import Signer
from contracts.work import SettlerEffect, Work, WorkTable, after
from etp.clock import Now
from etp.effects import Commit, Count
from etp.units import LotId, MonotonicS

SIGNED: Final = "settle"
"""Purpose of the Commit that makes signed bytes durable before they are sent."""
JOURNAL_RETRY_S: Final = 1.0
"""After a failed commit nothing is signed for this long."""
NO_BLOCKHASH_S: Final = 0.2
"""So long a trade waits where no RPC has a blockhash for it."""
MICRO: Final = 1_000_000


class Signing:
    """See the module."""

    def __init__(
        self,
        work: WorkTable,
        links: Sequence[Link],
        signer: Signer,
        shortage: Shortage,
        *,
        timing: SettlerTiming,
        limits: SettlerLimits,
        rng: random.Random,
    ) -> None:
        self._work, self._links, self._signer, self._shortage = work, links, signer, shortage
        self._timing, self._limits, self._rng = timing, limits, rng
        self.without_blockhash: dict[LotId, None] = {}
        """Lots that wait for one, in the order in which they came to it."""

    # -- when

    def rest(self, work: Work, now: Now) -> None:
        """No transaction is on its way: when is the next one due, and when is the trade looked at?"""
        lot_id, state = work.entry.lot_id, work.entry.state
        if state in (OutboxState.HELD, OutboxState.DISPUTED):
            wait_s = work.entry.release_at + self._timing.release_margin_s - now.wall_us / MICRO
            self._work.to_sign.set(lot_id, after(now, max(wait_s, self._retry_s(work))))
            self._work.poll_at(work, after(now, self._timing.watch_s))
            return
        if state is OutboxState.DEFAULTED:
            self._shortage.look(work.entry, now)
        self._work.to_sign.set(lot_id, after(now, self._retry_s(work)))

    def _retry_s(self, work: Work) -> float:
        if not work.failures:
            return 0.0
        refused = work.entry.state is OutboxState.REFUSED
        return (self._timing.refused_retry if refused else self._timing.retry).delay_s(work.failures - 1, self._rng)

    def next_deadline(self) -> MonotonicS | None:
        """When `due` has something to do."""
        return self._work.to_sign.next() if self._has_room(in_use(self._links)) else None

    def _has_room(self, usable: Sequence[Link]) -> bool:
        """Whether what is signed now would soon be sent, to one RPC at least."""
        return bool(usable) and min(link.waiting for link in usable) < self._limits.sends_waiting

    # -- what

    def due(self, now: Now) -> list[SettlerEffect]:
        """Sign what is due, as much as goes in one turn."""
        usable = in_use(self._links)
        if not self._has_room(usable):
            return []
        effects: list[SettlerEffect] = []
        signed: list[Work] = []
        for lot_id in self._work.to_sign.pop_due(now.monotonic_s):
            work = self._work[lot_id]
            act = self._next_act(work, now)
            if act is not None:
                effects += self._sign(work, act, usable, signed, now)
            if len(signed) >= self._limits.sign_at_once:
                break
        if signed:
            rows = tuple(row(_as_signed(work, now)) for work in signed)
            keys = tuple(int(work.entry.lot_id) for work in signed)
            effects.append(Commit(rows, SIGNED, keys, now.monotonic_s))
        return effects

    def _next_act(self, work: Work, now: Now) -> Act | None:
        """What is to be signed next; None where it has to wait, and then it is on the agenda again."""
        entry = work.entry
        if entry.state in (OutboxState.HELD, OutboxState.DISPUTED):
            return Act.RELEASE
        if not work.is_short:
            return Act.SETTLE
        if self._shortage.can_pay(entry, in_use(self._links)):
            work.short_since_s = None
            return Act.SETTLE
        since_s = work.short_since_s if work.short_since_s is not None else now.monotonic_s
        due_s = MonotonicS(since_s + self._timing.default_after_s)
        is_recorded = entry.state is OutboxState.DEFAULTED
        if not is_recorded and now.monotonic_s >= due_s and self._shortage.cannot_pay(entry, self._links):
            return Act.RECORD_DEFAULT
        if is_recorded or now.monotonic_s >= due_s:
            due_s = after(now, self._timing.escrow_s)
        self._work.to_sign.set(entry.lot_id, due_s)  # sooner, where a look at the escrow shows that it can pay
        self._shortage.look(entry, now)
        return None

    def _sign(self, work: Work, act: Act, usable: Sequence[Link], signed: list[Work], now: Now) -> list[SettlerEffect]:
        entry = work.entry
        link = usable[entry.signed % len(usable)]  # another one each time: a blockhash may be a lie
        blockhash = link.fresh_blockhash(now)
        used = entry.attempt.blockhash if entry.attempt is not None else None
        if blockhash is None or blockhash.hash == used:
            self._work.to_sign.set(entry.lot_id, after(now, NO_BLOCKHASH_S))
            self.without_blockhash[entry.lot_id] = None
            return list(self._ask_for_blockhash(link, usable, now))
        assert link.market is not None
        try:
            work.signing = self._signer.attempt(
                act,
                self._signer.parties(entry.buyer, entry.lot_id),
                market=link.market,
                record=entry.record,
                buyer_key=entry.buyer_key,
                blockhash=blockhash,
                create_payout=not link.has_payout and act is not Act.RECORD_DEFAULT,
            )
        except ContractsError as error:
            work.failures += 1
            effects = self._work.refuse(work, str(error), now)
            self.rest(work, now)
            return effects
        signed.append(work)
        return []

    def _ask_for_blockhash(self, link: Link, usable: Sequence[Link], now: Now) -> Iterable[Ask]:
        """How long a blockhash is good is judged by the height of most RPCs: where that was not asked for lately, it is first."""
        if is_most(sum(each.knows_height(now) for each in usable), len(usable)):
            return link.want_blockhash(now)
        return (ask for each in usable for ask in each.want_height(now))

    # -- made durable

    def committed(self, commit: Commit, now: Now) -> list[Work]:
        """Signed bytes are durable; whose they are: now they may be sent."""
        done = [work for work in self._work.of(commit.keys) if work.signing is not None]
        for work in done:
            self._work.change(work, _as_signed(work, now))
            work.signing = None
        return done

    def commit_failed(self, commit: Commit, now: Now) -> list[SettlerEffect]:
        """Signed bytes are not in the journal: they are forgotten, never sent."""
        for work in self._work.of(commit.keys):
            work.signing = None
            self._work.to_sign.set(work.entry.lot_id, after(now, JOURNAL_RETRY_S))
        return [Count("settlements_not_journalled", amount=len(commit.keys))]

    # -- what is waited for

    def may_go_on(self, now: Now) -> list[SettlerEffect]:
        """A blockhash came, or a height: who waits for one need not wait on."""
        for work in self._work.of(self.without_blockhash):
            if work.is_at_rest:
                self._work.to_sign.set(work.entry.lot_id, now.monotonic_s)
        self.without_blockhash.clear()
        return self.due(now)

    def escrows_came(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        """What escrows hold: whose buyer can pay by now need not wait on."""
        assert isinstance(answer, Accounts)
        usable = in_use(self._links)
        for work in self._work.of(self._shortage.take(ask, answer)):
            if work.is_short and work.is_at_rest and self._shortage.can_pay(work.entry, usable):
                self._work.to_sign.set(work.entry.lot_id, now.monotonic_s)
        return []


def _as_signed(work: Work, now: Now) -> Entry:
    before = work.entry
    state = OutboxState.SETTLING if before.state is OutboxState.CONFIRMED else before.state
    made = replace(before, attempt=work.signing, signed=before.signed + 1)
    return made.moved(state, now.wall_us, before.reason)
