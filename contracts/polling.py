"""What became of it: each RPC in use is asked for transactions and trades, many at a time, the young often and the old seldom."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from contracts.accounts import Trade, decode
from contracts.links import Ask, Link, in_use
from contracts.rpc import (
    MAX_ACCOUNTS,
    MAX_STATUSES,
    Account,
    Accounts,
    Answer,
    GetAccounts,
    GetStatuses,
    Refused,
    Statuses,
)
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.transactions import Signer
from contracts.work import SettlerEffect, Work, WorkTable, after
from etp.clock import Now

Judge: TypeAlias = Callable[[Work, Now], list[SettlerEffect]]
Failed: TypeAlias = Callable[[Work, Refused, Now], list[SettlerEffect]]
T = TypeVar("T")


class Polling:
    """See the module. What an RPC shows goes into the trade's reading; then `judge` says what follows from all of them,
    and `failed` whose fault it is where a transaction landed and failed.
    """

    def __init__(
        self,
        work: WorkTable,
        links: Sequence[Link],
        signer: Signer,
        *,
        judge: Judge,
        failed: Failed,
        timing: SettlerTiming,
        limits: SettlerLimits,
    ) -> None:
        self._work, self._links, self._signer = work, links, signer
        self._judge, self._failed = judge, failed
        self._timing, self._limits = timing, limits

    # -- questions

    def advance(self, now: Now) -> list[SettlerEffect]:
        """Ask about what is due."""
        due = [self._work[lot_id] for lot_id in self._work.to_poll.pop_due(now.monotonic_s)]
        for work in due:
            self._work.poll_at(work, after(now, self._cadence_s(work, now)))
        asks: list[SettlerEffect] = []
        for link in in_use(self._links) if due else ():
            young = [work for work in due if work.flying and not _may_be_dead(work, link)]
            old = [work for work in due if work.flying and _may_be_dead(work, link)]
            watched = [work for work in due if not work.flying]
            asks += self._ask_statuses(link, young, search_history=False)
            asks += self._ask_statuses(link, old, search_history=True)
            asks += self._ask_trades(link, old + watched)
        return asks

    def _cadence_s(self, work: Work, now: Now) -> float:
        if not work.flying:
            return self._timing.watch_s
        age_s = now.monotonic_s - work.sent_s
        return min(max(self._timing.poll_first_s, age_s * self._timing.poll_growth), self._timing.poll_limit_s)

    def _ask_statuses(self, link: Link, works: Sequence[Work], *, search_history: bool) -> list[SettlerEffect]:
        asks: list[SettlerEffect] = []
        for part in _parts(works, MAX_STATUSES):
            if link.polls_in_flight >= self._limits.polls_in_flight:
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
            if link.polls_in_flight >= self._limits.polls_in_flight:
                break
            link.polls_in_flight += 1
            addresses = tuple(place.trade(battery_id, work.entry.lot_id) for work in part)
            keys = tuple(int(work.entry.lot_id) for work in part)
            asks.append(Ask(link.number, GetAccounts(addresses), "trades", keys, link.height))
        return asks

    # -- answers

    def statuses(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        """What an RPC says of transactions; what may be over by that is read back."""
        assert isinstance(answer, Statuses)
        assert isinstance(ask.request, GetStatuses)
        read_back: list[Work] = []
        effects: list[SettlerEffect] = []
        for lot_id, signature, status in zip(ask.keys, ask.request.signatures, answer.found, strict=True):
            work = self._work.get(lot_id)
            if work is None or work.entry.attempt is None or work.entry.attempt.signature != signature:
                continue  # about a transaction that is no longer the entry's
            reading = work.readings[ask.rpc]
            reading.status, reading.status_height = status, ask.height
            if status is not None and status.finalized:
                read_back.append(work)
                if status.error is not None:
                    effects += self._failed(work, status.error, now)
            elif now.monotonic_s - work.sent_s > self._timing.resend_s:
                read_back.append(work)  # an answer of an RPC is never proof, nor is its silence
            effects += self._judge(work, now)
        still = [work for work in read_back if work.entry.lot_id in self._work]
        return effects + self._ask_trades(self._links[ask.rpc], still)

    def trades(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        """The trades that an RPC shows. Raises ContractsError for what is no trade."""
        assert isinstance(answer, Accounts)
        trades = [self._trade_in(account) for account in answer.found]  # all of them, before anything follows from one
        effects: list[SettlerEffect] = []
        for lot_id, trade in zip(ask.keys, trades, strict=True):
            work = self._work.get(lot_id)
            if work is None:
                continue
            reading = work.readings[ask.rpc]
            reading.trade, reading.trade_height = trade, ask.height
            effects += self._judge(work, now)
        return effects

    def _trade_in(self, account: Account | None) -> Trade | None:
        """The trade in an account. Raises ContractsError: an RPC that gives us what is no trade gives us nothing."""
        instructions = self._signer.instructions
        if account is None or account.owner != instructions.place.program_id:
            return None  # somebody may send lamports to the address of a trade that is still to come
        return decode(instructions.interface, Trade, account.data)


def _may_be_dead(work: Work, link: Link) -> bool:
    attempt = work.entry.attempt
    return attempt is not None and link.height > attempt.last_valid_height


def _parts(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
