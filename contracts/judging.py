"""What follows from all that the RPCs have shown of a trade: it stands on the chain, or its transaction is dead, or neither."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from contracts.accounts import Trade, TradeStatus
from contracts.evidence import SHOWN_AS, Verdict, differences, verdict
from contracts.links import Link
from contracts.outbox import FINAL, OUTBOX, UNSETTLED, Entry, OutboxState
from contracts.settler_limits import SettlerTiming
from contracts.work import SettlerEffect, Work, WorkTable, after
from etp.clock import Now
from etp.effects import Count, Log
from etp.units import DeviceId
from runtime.histogram import Histogram

Rest: TypeAlias = Callable[[Work, Now], None]

ARBITRATION_S: Final = 14 * 24 * 3600
"""A dispute that the arbiter leaves open so long ends for the battery (docs/settlement.md, Program)."""
NOT_THERE: Final = "its account is no longer on the chain: closed before its end was read; look at its transactions"
DISAGREE: Final = "the RPCs disagree: some show the trade, others that it cannot come; find out which is right"
TOO_FEW: Final = (
    "too few of the RPCs are in use to tell what became of it: more than half of all must; see which are down"
)


class Judging:
    """See the module. `rest`: what to do with a trade that has no transaction on its way any more."""

    def __init__(
        self, work: WorkTable, links: Sequence[Link], battery_id: DeviceId, *, rest: Rest, timing: SettlerTiming
    ) -> None:
        self.alarm: str | None = None
        """What must not be, is: until a restart."""
        self.settled_ms = Histogram()
        """From the Confirm to the finalized account read back, ms, since the start."""
        self._work, self._links, self._battery_id = work, links, battery_id
        self._rest, self._timing = rest, timing

    def all_flying(self, now: Now) -> list[SettlerEffect]:
        """Another set of RPCs is in use: it may be enough to judge by."""
        return [effect for work in self._work.all_flying() for effect in self.judge(work, now)]

    def judge(self, work: Work, now: Now) -> list[SettlerEffect]:
        """Something new was read of this trade."""
        readings = [work.readings[link.number] for link in self._links if link.usable]
        attempt = work.entry.attempt if work.flying else None
        found = verdict(
            readings,
            attempt.act if attempt is not None else None,
            attempt.last_valid_height if attempt is not None else 0,
            rpcs=len(self._links),
        )
        if found.trade is not None and _is_old(work.entry, found.trade):
            return []
        if found.trade is not None:
            effects = self._found(work, found.trade, now)
            if work.entry.lot_id not in self._work or not work.flying:
                return effects
            return effects + (self._died(work, now) if found.dead else [])
        if found.dead:
            return self._died(work, now)
        doubt = _doubt(work, found)
        return self._work.move(work, work.entry.state, now, doubt) if doubt else []

    def _found(self, work: Work, trade: Trade, now: Now) -> list[SettlerEffect]:
        """The trade stands on the chain."""
        other = differences(work.entry, trade, self._battery_id)
        if other:
            return self._conflict(work, other, now)
        state, was = SHOWN_AS[trade.status], work.entry.state
        if state is not was and state not in OUTBOX[was]:
            return self._conflict(work, {"status": (was.value, state.value)}, now)
        work.entry = replace(work.entry, release_at=_release_at(trade))
        effects = [] if was is state else self._work.move(work, state, now)
        if state in FINAL:
            self._finish(work, now)
        elif work.flying and work.entry.live is None:
            self._work.land(work)
            work.failures = 0
            self._rest(work, now)
        elif was is not state and not work.flying:
            self._rest(work, now)
        return effects

    def _conflict(self, work: Work, other: Mapping[str, tuple[object, object]], now: Now) -> list[SettlerEffect]:
        said = ", ".join(f"{name} {_shown(theirs)} instead of {_shown(ours)}" for name, (ours, theirs) in other.items())
        reason = f"the chain has another trade under this lot: {said}"
        self.alarm = self.alarm or reason
        self._work.land(work)
        self._work.to_sign.set(work.entry.lot_id, None)
        effects = self._work.refuse(work, reason, now)
        self._work.poll_at(work, after(now, self._timing.watch_s))
        return [*effects, Log("settlement_conflict", {"lot_id": work.entry.lot_id, "reason": reason}, "error")]

    def _finish(self, work: Work, now: Now) -> None:
        entry = work.entry
        self._work.drop(work)
        for link in self._links:
            link.has_payout = True  # it was paid to just now
        if entry.state is OutboxState.SETTLED:
            self.settled_ms.record(max(0.0, (now.wall_us - entry.confirmed_us) / 1000))

    def _died(self, work: Work, now: Now) -> list[SettlerEffect]:
        """It came to nothing and cannot land any more: another one may be signed."""
        self._work.land(work)
        self._work.to_poll.set(work.entry.lot_id, None)
        work.failures += 1
        effects: list[SettlerEffect] = [Count("settlements_expired", work.cause.value if work.cause else "")]
        if work.cause is None:
            words = "its transaction did not land in time; signed anew"
            effects += self._work.move(work, work.entry.state, now, words)
        self._rest(work, now)
        return effects


def _is_old(entry: Entry, trade: Trade) -> bool:
    """Whether an answer shows where the trade stood before: late on its way, or of a node that is behind. It says nothing.

    What is final on the chain never goes back, so a state that ours follows from is one that is over.
    """
    shown, ours = SHOWN_AS[trade.status], entry.state
    return ours not in UNSETTLED and ours is not shown and ours in OUTBOX[shown]


def _doubt(work: Work, found: Verdict) -> str:
    """Why nothing follows though there is something to see; empty where there is not."""
    if found.disagree:
        return DISAGREE
    if found.too_few:
        return TOO_FEW
    return NOT_THERE if found.gone and work.entry.state not in UNSETTLED else ""


def _release_at(trade: Trade) -> int:
    """From when the trade's money can be released, Unix seconds of the chain's clock."""
    return trade.disputed_at + ARBITRATION_S if trade.status is TradeStatus.DISPUTED else trade.release_at


def _shown(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
