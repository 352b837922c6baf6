"""The trades that the settler works on: each with what is known beside its row, when which of them is due, and their moves."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from contracts.evidence import Reading
from contracts.links import Ask
from contracts.outbox import UNSETTLED, Attempt, Entry, OutboxState, row
from contracts.program_errors import Cause
from contracts.tally import Tally
from etp.agenda import Agenda
from etp.clock import Now
from etp.effects import Commit, Count, Log, Write
from etp.units import LotId, MonotonicS

SettlerEffect: TypeAlias = Ask | Commit | Write | Count | Log


def after(now: Now, seconds: float) -> MonotonicS:
    """So many seconds from now."""
    return MonotonicS(now.monotonic_s + seconds)


@dataclass(slots=True, eq=False)
class Work:
    """One trade on its way: the durable entry, and what is known beside it."""

    entry: Entry
    readings: list[Reading]
    """One for each RPC."""
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

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing of it is on its way: neither to the journal nor to the chain."""
        return not self.flying and self.signing is None


class WorkTable:
    """See the module. `rpcs`: how many there are; `tick_s`: what questions are put on multiples of."""

    def __init__(self, *, rpcs: int, tick_s: float) -> None:
        self.tally = Tally()
        self.to_sign: Agenda[LotId] = Agenda()
        self.to_send: Agenda[LotId] = Agenda()
        self.to_poll: Agenda[LotId] = Agenda()
        self.flying = 0
        """Trades with a transaction on its way."""
        self._rpcs, self._tick_s = rpcs, tick_s
        self._work: dict[LotId, Work] = {}

    def __len__(self) -> int:
        return len(self._work)

    def __iter__(self) -> Iterator[Work]:
        return iter(self._work.values())

    def __contains__(self, lot_id: object) -> bool:
        return lot_id in self._work

    def __getitem__(self, lot_id: LotId) -> Work:
        return self._work[lot_id]

    def get(self, key: int) -> Work | None:
        """A lot's; None where it is over, or was never known."""
        return self._work.get(LotId(key))

    def of(self, keys: Iterable[int]) -> list[Work]:
        """Of those lots that are not over."""
        return [work for work in map(self.get, keys) if work is not None]

    def all_flying(self) -> list[Work]:
        """Those with a transaction on its way."""
        return [work for work in self if work.flying]

    def is_short(self, lot_id: LotId) -> bool:
        """Whether a lot waits for its buyer's escrow."""
        work = self.get(lot_id)
        return work is not None and work.is_short

    # -- what becomes of them

    def add(self, entry: Entry) -> Work:
        """One more."""
        work = self._work[entry.lot_id] = Work(entry, [Reading() for _ in range(self._rpcs)])
        self.tally.put(entry)
        return work

    def change(self, work: Work, entry: Entry) -> None:
        """Its entry is another one now."""
        self.tally.change(work.entry, entry)
        work.entry = entry

    def move(self, work: Work, state: OutboxState, now: Now, reason: str = "") -> list[SettlerEffect]:
        """Another state, or another reason: written down, and said where it is new."""
        before = work.entry
        if before.state is state and before.reason == reason:
            return []
        self.change(work, before.moved(state, now.wall_us, reason))
        fields = {"lot_id": before.lot_id, "buyer": before.buyer, "state": state.value, "reason": reason}
        level = "warning" if reason else "info"
        return [Write((row(work.entry),)), Log("settlement", fields, level), Count("settlements", state.value)]

    def refuse(self, work: Work, words: str, now: Now) -> list[SettlerEffect]:
        """Only the operator can help; what is on the chain already keeps its state."""
        on_chain = work.entry.state not in UNSETTLED or work.entry.state is OutboxState.DEFAULTED
        return self.move(work, work.entry.state if on_chain else OutboxState.REFUSED, now, words)

    def take_off(self, work: Work, now: Now) -> None:
        """Its transaction is durable, and may have an effect from now on."""
        for reading in work.readings:
            reading.forget_transaction()
        self.flying += not work.flying
        work.flying, work.sent_s, work.refusals, work.cause = True, now.monotonic_s, 0, None
        self.to_sign.set(work.entry.lot_id, None)

    def land(self, work: Work) -> None:
        """Its transaction has nothing left to do."""
        self.flying -= work.flying
        work.flying = False
        self.to_send.set(work.entry.lot_id, None)

    def drop(self, work: Work) -> None:
        """It is over."""
        self.land(work)
        lot_id = work.entry.lot_id
        del self._work[lot_id]
        for agenda in (self.to_sign, self.to_send, self.to_poll):
            agenda.set(lot_id, None)
        self.tally.drop(work.entry)

    def poll_at(self, work: Work, at_s: MonotonicS) -> None:
        """Ask about it then, or a tick later."""
        self.to_poll.set(work.entry.lot_id, MonotonicS(math.ceil(at_s / self._tick_s) * self._tick_s))
