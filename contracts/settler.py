"""The settler: takes every confirmed trade to its payment on the chain, once, whatever RPCs, network and restarts do.

For each trade: sign → make the signed bytes durable → send those bytes to every RPC, again and again → ask what became of
them. It is done when the finalized Trade account, read back, says what the outbox says; signed anew only when the bytes
cannot land any more and nothing of theirs is on the chain (docs/settlement.md, From promise to payment). A sans-IO core:
questions to RPCs are effects (`Ask`), and so are rows (`Commit`, `Write`); every method returns effects.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from contracts.accounts import Trade, TradeStatus, decode
from contracts.errors import ContractsError
from contracts.evidence import SHOWN_AS, Reading, differences, verdict
from contracts.interface import Interface
from contracts.links import Ask, Identity, Link, believed_height
from contracts.outbox import FINAL, OUTBOX, UNSETTLED, Act, Attempt, Entry, OutboxState, row
from contracts.program_errors import Cause, explain
from contracts.reconcile import Difference
from contracts.rpc import (
    MAX_ACCOUNTS,
    MAX_STATUSES,
    Account,
    Accounts,
    Answer,
    GetAccounts,
    GetStatuses,
    Refused,
    RpcFailure,
    Sendings,
    SendTransactions,
    Statuses,
)
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.shortage import Shortage
from contracts.tally import Tally
from contracts.transactions import Signer
from etp.agenda import Agenda
from etp.clock import Now
from etp.effects import Commit, Count, Log, Write
from etp.units import DeviceId, LotId, Micro, MonotonicS
from runtime.histogram import Histogram

SettlerEffect: TypeAlias = Ask | Commit | Write | Count | Log

SIGNED: Final = "settle"
"""Purpose of the Commit that makes signed bytes durable before they are sent."""
JOURNAL_RETRY_S: Final = 1.0
"""After a failed commit nothing is signed for this long."""
NO_BLOCKHASH_S: Final = 0.2
"""So long a trade waits where no RPC has a blockhash for it."""
ARBITRATION_S: Final = 14 * 24 * 3600
"""A dispute that the arbiter leaves open so long ends for the battery (docs/settlement.md, Program)."""
MICRO: Final = 1_000_000
MAX_SAID: Final = 10
"""Differences of one comparison that are logged."""
NOT_THERE: Final = "its account is no longer on the chain: closed before its end was read; look at its transactions"
DISAGREE: Final = "the RPCs disagree: some show the trade, others that it cannot come; find out which is right"

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Work:
    """One trade on its way: the durable entry, and what is known beside it."""

    entry: Entry
    readings: list[Reading]
    signing: Attempt | None = None
    """Being made durable; not sent yet."""
    flying: bool = False
    """The entry's transaction may still have an effect."""
    sent_s: MonotonicS = MonotonicS(0.0)
    """When it was first sent."""
    failures: int = 0
    """In a row: transactions that came to nothing, and refusals."""
    refusals: int = 0
    """Of this transaction."""
    cause: Cause | None = None
    """Of the last refusal."""
    short_since_s: MonotonicS | None = None
    """Since when the escrow was seen too short."""

    @property
    def is_short(self) -> bool:
        """Whether it waits for the buyer's escrow."""
        return self.short_since_s is not None or self.entry.state is OutboxState.DEFAULTED


class Settler:
    """See the module."""

    def __init__(
        self,
        signer: Signer,
        *,
        rpcs: int,
        rng: random.Random,
        timing: SettlerTiming | None = None,
        limits: SettlerLimits | None = None,
    ) -> None:
        self.timing, self.limits = timing or SettlerTiming(), limits or SettlerLimits()
        self.settled_ms = Histogram()
        """From the Confirm to the finalized account read back, ms, since the start."""
        self._alarm: str | None = None
        """What must not be, is: until a restart."""
        self._difference: str | None = None
        """Between journal and chain, as of the last comparison."""
        self._signer, self._rng = signer, rng
        identity = Identity(self._interface, signer.instructions.place, signer.battery, signer.battery_id)
        self._links = [
            Link(number, identity, timing=self.timing, limits=self.limits, rng=rng) for number in range(rpcs)
        ]
        self._work: dict[LotId, Work] = {}
        self._tally = Tally()
        self._without_blockhash: dict[LotId, None] = {}
        self._flying = 0
        self._to_sign: Agenda[LotId] = Agenda()
        self._to_send: Agenda[LotId] = Agenda()
        self._to_poll: Agenda[LotId] = Agenda()
        place = signer.instructions.place
        self._shortage = Shortage(self._interface, place, self.timing, self._is_short)
        self._answers: dict[str, Callable[[Ask, Answer, Now], list[SettlerEffect]]] = {
            "send": self._sent,
            "statuses": self._statuses,
            "trades": self._trades,
            "escrows": self._escrows,
        }

    @property
    def _interface(self) -> Interface:
        return self._signer.instructions.interface

    # -- what others ask

    def unsettled(self, buyer: DeviceId) -> Micro:
        """What a buyer owes that nothing on the chain is set aside for yet, µ."""
        return self._tally.owed(buyer)

    def refuses(self, buyer: DeviceId) -> bool:
        """Whether a buyer owes so much that its bids are to be refused until it clears."""
        return self.unsettled(buyer) >= self.limits.unsettled_micro

    def stops_lots(self) -> str | None:
        """Why no new lot may be opened; None: nothing is against it."""
        if len(self._work) >= self.limits.max_entries:
            return f"{self.limits.max_entries} trades wait for their settlement"
        return self.alarm

    @property
    def alarm(self) -> str | None:
        """What must not be, is; in words."""
        return self._alarm or self._difference

    def settlement_age_s(self, now: Now) -> float:
        """Age of the oldest trade that is not on the chain yet, s."""
        oldest_us = self._tally.oldest_us
        return 0.0 if oldest_us is None else max(0.0, (now.wall_us - oldest_us) / MICRO)

    def entries(self) -> Iterable[Entry]:
        """What the outbox holds."""
        return (work.entry for work in self._work.values())

    def view(self, now: Now) -> Mapping[str, object]:
        """The gauges for metrics: ages in s, trades by state, RPCs by number with the state of their breakers."""
        return {
            "settlement_age_s": round(self.settlement_age_s(now), 3),
            "outbox": self._tally.by_state(),
            "unsettled_micro": self._tally.owed_in_all,
            "settled_ms": self.settled_ms.as_dict(),
            "rpcs": [
                {"state": link.breaker.state.value, "reason": link.breaker.reason, "height": link.height}
                for link in self._links
            ],
            "alarm": self.alarm,
        }

    # -- entries

    def restore(self, entries: Iterable[Entry], now: Now) -> list[SettlerEffect]:
        """After a restart: what the journal has pending. Signed bytes that may be on their way are sent again as they are."""
        for entry in entries:
            work = self._add(entry)
            if entry.live is not None:
                self._take_off(work, now)
            else:
                self._rest(work, now)
        return []

    def add(self, entry: Entry, now: Now) -> list[SettlerEffect]:
        """A trade whose row is durable: settle it. What is known already stays as it is."""
        if entry.lot_id in self._work:
            return []
        self._rest(self._add(entry), now)
        return []

    def _add(self, entry: Entry) -> Work:
        work = self._work[entry.lot_id] = Work(entry, [Reading() for _ in self._links])
        self._tally.put(entry)
        return work

    def _move(self, work: Work, state: OutboxState, now: Now, reason: str = "") -> list[SettlerEffect]:
        """Another state, or another reason: written down, and said where it is new."""
        before = work.entry
        if before.state is state and before.reason == reason:
            return []
        work.entry = before.moved(state, now.wall_us, reason)
        self._tally.change(before, work.entry)
        fields = {"lot_id": before.lot_id, "buyer": before.buyer, "state": state.value, "reason": reason}
        level = "warning" if reason else "info"
        return [Write((row(work.entry),)), Log("settlement", fields, level), Count("settlements", state.value)]

    def hurry(self, now: Now) -> list[SettlerEffect]:
        """The operator wants everything tried now, whatever has been put off."""
        for work in self._work.values():
            work.failures = 0
            if not work.flying and work.signing is None:
                self._rest(work, now)
        return []

    # -- signing

    def _rest(self, work: Work, now: Now) -> None:
        """No transaction is on its way: when is the next one due, and when is the trade looked at?"""
        lot_id, state = work.entry.lot_id, work.entry.state
        if state in (OutboxState.HELD, OutboxState.DISPUTED):
            wait_s = work.entry.release_at + self.timing.release_margin_s - now.wall_us / MICRO
            self._to_sign.set(lot_id, self._after(now, max(wait_s, self._retry_s(work))))
            self._poll_at(work, self._after(now, self.timing.watch_s))
            return
        if state is OutboxState.DEFAULTED:
            self._shortage.look(work.entry, now)
        self._to_sign.set(lot_id, self._after(now, self._retry_s(work)))

    def _retry_s(self, work: Work) -> float:
        if not work.failures:
            return 0.0
        refused = work.entry.state is OutboxState.REFUSED
        return (self.timing.refused_retry if refused else self.timing.retry).delay_s(work.failures - 1, self._rng)

    @staticmethod
    def _after(now: Now, seconds: float) -> MonotonicS:
        return MonotonicS(now.monotonic_s + seconds)

    def _usable(self) -> list[Link]:
        return [link for link in self._links if link.usable]

    def _sign_due(self, now: Now) -> list[SettlerEffect]:
        usable = self._usable()
        if not usable or min(link.waiting for link in usable) >= self.limits.sends_waiting:
            return []
        effects: list[SettlerEffect] = []
        signed: list[Work] = []
        for lot_id in self._to_sign.pop_due(now.monotonic_s):
            work = self._work[lot_id]
            act = self._next_act(work, now)
            if act is not None:
                effects += self._sign(work, act, usable, signed, now)
            if len(signed) >= self.limits.sign_at_once:
                break
        if signed:
            rows = tuple(row(self._as_signed(work, now)) for work in signed)
            keys = tuple(int(work.entry.lot_id) for work in signed)
            effects.append(Commit(rows, SIGNED, keys, now.monotonic_s))
        return effects

    def _next_act(self, work: Work, now: Now) -> Act | None:
        """What is to be signed next; None where it has to wait, and then it is on the agenda again."""
        entry = work.entry
        if entry.state in (OutboxState.HELD, OutboxState.DISPUTED):
            return Act.RELEASE
        if work.short_since_s is None and entry.state is not OutboxState.DEFAULTED:
            return Act.SETTLE
        if self._shortage.can_pay(entry, self._usable()):
            work.short_since_s = None
            return Act.SETTLE
        since_s = work.short_since_s if work.short_since_s is not None else now.monotonic_s
        due_s = MonotonicS(since_s + self.timing.default_after_s)
        is_recorded = entry.state is OutboxState.DEFAULTED
        if not is_recorded and now.monotonic_s >= due_s and self._shortage.cannot_pay(entry, self._usable()):
            return Act.RECORD_DEFAULT
        if is_recorded or now.monotonic_s >= due_s:
            due_s = self._after(now, self.timing.escrow_s)
        self._to_sign.set(entry.lot_id, due_s)  # sooner, where a look at the escrow shows that it can pay
        self._shortage.look(work.entry, now)
        return None

    def _sign(self, work: Work, act: Act, usable: list[Link], signed: list[Work], now: Now) -> list[SettlerEffect]:
        entry = work.entry
        link = usable[entry.signed % len(usable)]  # another one each time: a blockhash may be a lie
        blockhash = link.fresh_blockhash(now)
        used = entry.attempt.blockhash if entry.attempt is not None else None
        if blockhash is None or blockhash.hash == used:
            self._to_sign.set(entry.lot_id, self._after(now, NO_BLOCKHASH_S))
            self._without_blockhash[entry.lot_id] = None
            return list(link.want_blockhash(now))
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
            effects = self._refuse(work, str(error), now)
            self._rest(work, now)
            return effects
        signed.append(work)
        return []

    def _as_signed(self, work: Work, now: Now) -> Entry:
        before = work.entry
        state = OutboxState.SETTLING if before.state is OutboxState.CONFIRMED else before.state
        made = replace(before, attempt=work.signing, signed=before.signed + 1)
        return made.moved(state, now.wall_us, before.reason)

    def committed(self, commit: Commit, now: Now) -> list[SettlerEffect]:
        """Signed bytes are durable: now they may be sent."""
        effects: list[SettlerEffect] = []
        for work in self._of(commit.keys):
            if work.signing is None:
                continue
            before, work.entry = work.entry, self._as_signed(work, now)
            self._tally.change(before, work.entry)
            work.signing = None
            self._take_off(work, now)
            effects.append(Count("settlements_signed"))
        return effects + self._pump()

    def commit_failed(self, commit: Commit, now: Now) -> list[SettlerEffect]:
        """Signed bytes are not in the journal: they are forgotten, never sent."""
        for work in self._of(commit.keys):
            work.signing = None
            self._to_sign.set(work.entry.lot_id, self._after(now, JOURNAL_RETRY_S))
        return [Count("settlements_not_journalled", amount=len(commit.keys))]

    def _of(self, keys: Iterable[int]) -> list[Work]:
        found = (self._work.get(LotId(key)) for key in keys)
        return [work for work in found if work is not None]

    # -- sending

    def _take_off(self, work: Work, now: Now) -> None:
        for reading in work.readings:
            reading.forget_transaction()
        self._flying += not work.flying
        work.flying, work.sent_s, work.refusals, work.cause = True, now.monotonic_s, 0, None
        self._to_sign.set(work.entry.lot_id, None)
        self._send(work, now)
        self._poll_at(work, self._after(now, self.timing.poll_first_s))

    def _send(self, work: Work, now: Now) -> None:
        for link, reading in zip(self._links, work.readings, strict=True):
            if reading.status is None:  # who says that it has it need not be given it again
                link.queue(work.entry.lot_id)
        delay_s = max(self.timing.resend_s, self.timing.retry.delay_s(work.refusals, self._rng) if work.refusals else 0)
        self._to_send.set(work.entry.lot_id, self._after(now, delay_s))

    def _pump(self) -> list[SettlerEffect]:
        """Fill the places for transactions on their way to each RPC."""
        asks: list[SettlerEffect] = []
        for link in self._links:
            while lots := link.next_to_send():
                flying = [work for work in self._of(lots) if work.flying]
                raws = tuple(work.entry.attempt.raw for work in flying if work.entry.attempt is not None)
                if raws:
                    link.sends_in_flight += 1
                    keys = tuple(int(work.entry.lot_id) for work in flying)
                    asks.append(Ask(link.number, SendTransactions(raws), "send", keys))
        return asks

    def _sent(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        assert isinstance(answer, Sendings)
        effects: list[SettlerEffect] = []
        for lot_id, outcome in zip(ask.keys, answer.found, strict=True):
            work = self._work.get(LotId(lot_id))
            if isinstance(outcome, Refused) and work is not None and work.flying:
                effects += self._refused(work, outcome, now)
        return effects

    def _refused(self, work: Work, refused: Refused, now: Now) -> list[SettlerEffect]:
        failure = explain(self._interface, refused)
        counted = Count("settlements_refused", refused.name)
        if failure.cause is Cause.DONE:
            self._poll_at(work, self._after(now, self.timing.tick_s))
        if failure.cause in (Cause.DONE, Cause.STALE):
            return [counted]
        work.refusals += 1
        return [counted, *self._blame(work, failure.cause, failure.words, now)]

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
            return self._refuse(work, words, now)
        return self._move(work, work.entry.state, now, words)

    def _refuse(self, work: Work, words: str, now: Now) -> list[SettlerEffect]:
        on_chain = work.entry.state not in UNSETTLED or work.entry.state is OutboxState.DEFAULTED
        return self._move(work, work.entry.state if on_chain else OutboxState.REFUSED, now, words)

    # -- asking what became of it

    def _poll_at(self, work: Work, at_s: MonotonicS) -> None:
        tick_s = self.timing.tick_s
        self._to_poll.set(work.entry.lot_id, MonotonicS(math.ceil(at_s / tick_s) * tick_s))

    def _poll_due(self, now: Now) -> list[SettlerEffect]:
        due = [self._work[lot_id] for lot_id in self._to_poll.pop_due(now.monotonic_s)]
        if not due:
            return []
        for work in due:
            self._poll_at(work, self._after(now, self._cadence_s(work, now)))
        asks: list[SettlerEffect] = []
        for link in self._usable():
            young = [work for work in due if work.flying and not self._may_be_dead(work, link)]
            old = [work for work in due if work.flying and self._may_be_dead(work, link)]
            watched = [work for work in due if not work.flying]
            asks += self._ask_statuses(link, young, search_history=False)
            asks += self._ask_statuses(link, old, search_history=True)
            asks += self._ask_trades(link, old + watched)
        return asks

    def _cadence_s(self, work: Work, now: Now) -> float:
        if not work.flying:
            return self.timing.watch_s
        age_s = now.monotonic_s - work.sent_s
        return min(max(self.timing.poll_first_s, age_s * self.timing.poll_growth), self.timing.poll_limit_s)

    @staticmethod
    def _may_be_dead(work: Work, link: Link) -> bool:
        attempt = work.entry.attempt
        return attempt is not None and link.height > attempt.last_valid_height

    def _ask_statuses(self, link: Link, works: Sequence[Work], *, search_history: bool) -> list[SettlerEffect]:
        asks: list[SettlerEffect] = []
        for part in _parts(works, MAX_STATUSES):
            if link.polls_in_flight >= self.limits.polls_in_flight:
                break  # the next poll asks for them
            link.polls_in_flight += 1
            signatures = tuple(work.entry.attempt.signature for work in part if work.entry.attempt is not None)
            keys = tuple(int(work.entry.lot_id) for work in part)
            asks.append(Ask(link.number, GetStatuses(signatures, search_history), "statuses", keys, link.height))
        return asks

    def _ask_trades(self, link: Link, works: Sequence[Work]) -> list[SettlerEffect]:
        place, battery_id = self._signer.instructions.place, self._signer.battery_id
        asks: list[SettlerEffect] = []
        for part in _parts(works, MAX_ACCOUNTS):
            if link.polls_in_flight >= self.limits.polls_in_flight:
                break
            link.polls_in_flight += 1
            addresses = tuple(place.trade(battery_id, work.entry.lot_id) for work in part)
            keys = tuple(int(work.entry.lot_id) for work in part)
            asks.append(Ask(link.number, GetAccounts(addresses), "trades", keys, link.height))
        return asks

    def _statuses(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        assert isinstance(answer, Statuses)
        assert isinstance(ask.request, GetStatuses)
        read_back: list[Work] = []
        effects: list[SettlerEffect] = []
        for lot_id, signature, status in zip(ask.keys, ask.request.signatures, answer.found, strict=True):
            work = self._work.get(LotId(lot_id))
            if work is None or work.entry.attempt is None or work.entry.attempt.signature != signature:
                continue  # about a transaction that is no longer the entry's
            reading = work.readings[ask.rpc]
            reading.status, reading.status_height = status, ask.height
            if status is not None and status.finalized:
                read_back.append(work)
                if status.error is not None:
                    failure = explain(self._interface, status.error)
                    effects += self._blame(work, failure.cause, failure.words, now)
            elif now.monotonic_s - work.sent_s > self.timing.resend_s:
                read_back.append(work)  # an answer of an RPC is never proof, nor is its silence
            effects += self._judge(work, now)
        return effects + self._ask_trades(self._links[ask.rpc], [w for w in read_back if w.entry.lot_id in self._work])

    def _trades(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        assert isinstance(answer, Accounts)
        trades = [self._trade_in(account) for account in answer.found]  # all of them, before anything follows from one
        effects: list[SettlerEffect] = []
        for lot_id, trade in zip(ask.keys, trades, strict=True):
            work = self._work.get(LotId(lot_id))
            if work is None:
                continue
            reading = work.readings[ask.rpc]
            reading.trade, reading.trade_height = trade, ask.height
            effects += self._judge(work, now)
        return effects

    def _trade_in(self, account: Account | None) -> Trade | None:
        """The trade in an account. Raises ContractsError: an RPC that gives us what is no trade gives us nothing."""
        if account is None or account.owner != self._signer.instructions.place.program_id:
            return None  # somebody may send lamports to the address of a trade that is still to come
        return decode(self._interface, Trade, account.data)

    # -- judging

    def _judge(self, work: Work, now: Now) -> list[SettlerEffect]:
        readings = [reading for link, reading in zip(self._links, work.readings, strict=True) if link.usable]
        attempt = work.entry.attempt if work.flying else None
        last_valid = attempt.last_valid_height if attempt is not None else 0
        found = verdict(readings, attempt.act if attempt is not None else None, last_valid)
        if found.trade is not None:
            effects = self._found(work, found.trade, now)
            if work.entry.lot_id not in self._work or not work.flying:
                return effects
            return effects + (self._died(work, now) if found.dead else [])
        if found.dead:
            return self._died(work, now)
        if found.disagree:
            return self._move(work, work.entry.state, now, DISAGREE)
        if work.entry.state not in UNSETTLED and readings and all(reading.shows_none for reading in readings):
            return self._move(work, work.entry.state, now, NOT_THERE)
        return []

    def _found(self, work: Work, trade: Trade, now: Now) -> list[SettlerEffect]:
        """The trade stands on the chain."""
        other = differences(work.entry, trade, self._signer.battery_id)
        if other:
            return self._conflict(work, other, now)
        state, was = SHOWN_AS[trade.status], work.entry.state
        if state is not was and state not in OUTBOX[was]:
            return self._conflict(work, {"status": (was.value, state.value)}, now)
        work.entry = replace(work.entry, release_at=_release_at(trade))
        effects = [] if was is state else self._move(work, state, now)
        if state in FINAL:
            return effects + self._finish(work, now)
        if work.flying and work.entry.live is None:
            self._land(work)
            work.failures = 0
            self._rest(work, now)
        elif was is not state and not work.flying:
            self._rest(work, now)
        return effects

    def _conflict(self, work: Work, other: Mapping[str, tuple[object, object]], now: Now) -> list[SettlerEffect]:
        said = ", ".join(f"{name} {_shown(theirs)} instead of {_shown(ours)}" for name, (ours, theirs) in other.items())
        reason = f"the chain has another trade under this lot: {said}"
        self._alarm = self._alarm or reason
        self._land(work)
        self._to_sign.set(work.entry.lot_id, None)
        effects = self._refuse(work, reason, now)
        self._poll_at(work, self._after(now, self.timing.watch_s))
        return [*effects, Log("settlement_conflict", {"lot_id": work.entry.lot_id, "reason": reason}, "error")]

    def reconciled(self, found: Sequence[Difference]) -> list[SettlerEffect]:
        """The chain was compared with the journal: a difference stops new lots until a comparison finds none."""
        before, self._difference = self._difference, found[0].words if found else None
        counted: list[SettlerEffect] = [Count("reconciled", "different" if found else "equal")]
        if before is not None and not found:
            counted.append(Log("reconciled", {"differences": 0}))
        new = [difference for difference in found if difference.words != before]
        said = [Log("reconcile_alarm", {**difference._asdict()}, "error") for difference in new[:MAX_SAID]]
        return [*counted, *said]

    def _finish(self, work: Work, now: Now) -> list[SettlerEffect]:
        entry = work.entry
        self._land(work)
        del self._work[entry.lot_id]
        for agenda in (self._to_sign, self._to_send, self._to_poll):
            agenda.set(entry.lot_id, None)
        self._tally.drop(entry)
        for link in self._links:
            link.has_payout = True  # it was paid to just now
        if entry.state is OutboxState.SETTLED:
            self.settled_ms.record(max(0.0, (now.wall_us - entry.confirmed_us) / 1000))
        return list(self._pump())

    def _land(self, work: Work) -> None:
        """Its transaction has nothing left to do."""
        self._flying -= work.flying
        work.flying = False
        self._to_send.set(work.entry.lot_id, None)

    def _died(self, work: Work, now: Now) -> list[SettlerEffect]:
        """It came to nothing and cannot land any more: another one may be signed."""
        self._land(work)
        self._to_poll.set(work.entry.lot_id, None)
        work.failures += 1
        effects: list[SettlerEffect] = [Count("settlements_expired", work.cause.value if work.cause else "")]
        if work.cause is None:
            effects += self._move(work, work.entry.state, now, "its transaction did not land in time; signed anew")
        self._rest(work, now)
        return effects

    # -- escrows that were too short

    def _is_short(self, lot_id: LotId) -> bool:
        work = self._work.get(lot_id)
        return work is not None and work.is_short

    def _escrows(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        assert isinstance(answer, Accounts)
        usable = self._usable()
        for work in self._of(self._shortage.take(ask, answer)):
            waits = work.is_short and not work.flying and work.signing is None
            if waits and self._shortage.can_pay(work.entry, usable):
                self._to_sign.set(work.entry.lot_id, now.monotonic_s)
        return []

    # -- answers

    def answered(self, ask: Ask, answer: Answer | RpcFailure, now: Now) -> list[SettlerEffect]:
        """An RPC's answer, or that there was none."""
        link = self._links[ask.rpc]
        link.sends_in_flight -= ask.purpose == "send"
        link.polls_in_flight -= ask.purpose in ("statuses", "trades", "escrows")
        if isinstance(answer, RpcFailure):
            changed = link.failed(ask, answer, now)
            return [*self._said(link, changed, now), Count("rpc_failures", answer.kind), *self._pump()]
        link.breaker.answered()
        try:
            effects = self._understood(ask, answer, now)
        except ContractsError as error:
            effects = self._said(link, link.unfit(str(error), now), now)
        return effects + self._pump()

    def _understood(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        if ask.purpose in self._answers:
            return self._answers[ask.purpose](ask, answer, now)
        link = self._links[ask.rpc]
        was = link.usable
        asks: list[SettlerEffect] = list(link.answered(ask, answer, now, believed_height(self._links)))
        if ask.purpose == "blockhash":
            return asks + self._sign_now(now)
        return asks + (self._said(link, True, now) if link.usable and not was else [])

    def _sign_now(self, now: Now) -> list[SettlerEffect]:
        """A blockhash came: who waits for one need not wait on."""
        for work in self._of(self._without_blockhash):
            if not work.flying and work.signing is None:
                self._to_sign.set(work.entry.lot_id, now.monotonic_s)
        self._without_blockhash.clear()
        return self._sign_due(now)

    def _said(self, link: Link, changed: bool, now: Now) -> list[SettlerEffect]:
        """A breaker moved: said once. Others may be enough to judge by now."""
        if not changed:
            return []
        state, reason = link.breaker.state.value, link.breaker.reason
        effects: list[SettlerEffect] = [
            Log("rpc", {"rpc": link.number, "state": state, "reason": reason}, "warning" if reason else "info"),
            Count("rpc_breaker", state),
        ]
        judged = [work for work in self._work.values() if work.flying]
        return effects + [effect for work in judged for effect in self._judge(work, now)]

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        flying = self._flying > 0
        agendas = [self._to_send.next(), self._to_poll.next(), self._shortage.next_deadline()]
        usable = self._usable()
        if usable and min(link.waiting for link in usable) < self.limits.sends_waiting:
            agendas.append(self._to_sign.next())
        agendas += [link.next_deadline(flying=flying) for link in self._links]
        return min((at for at in agendas if at is not None), default=None)

    def advance(self, now: Now) -> list[SettlerEffect]:
        """Do what is due."""
        effects: list[SettlerEffect] = []
        for link in self._links:
            effects += link.advance(now, flying=self._flying > 0)
        for lot_id in list(self._to_send.pop_due(now.monotonic_s)):
            self._send(self._work[lot_id], now)
        effects += self._poll_due(now)
        effects += self._shortage.advance(self._usable(), now)
        effects += self._sign_due(now)
        return effects + self._pump()


def _release_at(trade: Trade) -> int:
    """From when the trade's money can be released, Unix seconds of the chain's clock."""
    return trade.disputed_at + ARBITRATION_S if trade.status is TradeStatus.DISPUTED else trade.release_at


def _shown(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _parts(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
