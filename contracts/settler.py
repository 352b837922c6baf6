"""The settler: takes every confirmed trade to its payment on the chain, once, whatever RPCs, network and restarts do.

For each trade: sign → make the signed bytes durable → send those bytes to every RPC, again and again → ask what became of
them. It is done when the finalized Trade account, read back, says what the outbox says; signed anew only when the bytes
cannot land any more and nothing of theirs is on the chain (docs/settlement.md, From promise to payment). A sans-IO core:
questions to RPCs are effects (`Ask`), and so are rows (`Commit`, `Write`); every method returns effects.

The table of trades is in `contracts.work`, what happens to them in `signing`, `sending`, `polling` and `judging`; here they
are put together.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from contracts.errors import ContractsError
from contracts.judging import Judging
from contracts.links import Ask, Identity, Link, believed_height, in_use
from contracts.outbox import Entry
from contracts.polling import Polling
from contracts.reconcile import Difference
from contracts.rpc import Answer, RpcFailure
from contracts.sending import Sending
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.shortage import Shortage
from contracts.signing import Signing
from contracts.transactions import Signer
from contracts.work import SettlerEffect, WorkTable
from etp.clock import Now
from etp.effects import Commit, Count, Log
from etp.units import DeviceId, Micro, MonotonicS, WallUs
from runtime.histogram import Histogram

__all__ = ["Settler", "SettlerEffect"]

MICRO: Final = 1_000_000
MAX_SAID: Final = 10
"""Differences of one comparison that are logged."""
SENDS: Final = frozenset({"send"})
"""Purposes of questions that take a place for transactions."""
POLLS: Final = frozenset({"statuses", "trades", "escrows"})
"""Purposes of questions that take a place for polls."""


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
        self.timing = timing = timing or SettlerTiming()
        self.limits = limits = limits or SettlerLimits()
        self._difference: str | None = None
        """Between journal and chain, as of the last comparison."""
        interface, place = signer.instructions.interface, signer.instructions.place
        identity = Identity(interface, place, signer.battery, signer.battery_id)
        links = [Link(number, identity, timing=timing, limits=limits, rng=rng) for number in range(rpcs)]
        work = WorkTable(rpcs=rpcs, tick_s=timing.tick_s)
        self._links, self._work = links, work
        self._shortage = Shortage(interface, place, work.is_short, timing=timing, limits=limits)
        self._signing = Signing(work, links, signer, self._shortage, timing=timing, limits=limits, rng=rng)
        self._sending = Sending(work, links, signer, self._shortage, timing=timing, rng=rng)
        self._judging = Judging(work, links, DeviceId(signer.battery_id), rest=self._signing.rest, timing=timing)
        self._polling = Polling(
            work,
            links,
            signer,
            judge=self._judging.judge,
            failed=self._sending.failed,
            timing=timing,
            limits=limits,
        )
        self._answers: dict[str, Callable[[Ask, Answer, Now], list[SettlerEffect]]] = {
            "send": self._sending.sent,
            "statuses": self._polling.statuses,
            "trades": self._polling.trades,
            "escrows": self._signing.escrows_came,
        }

    # -- what others ask

    @property
    def settled_ms(self) -> Histogram:
        """From the Confirm to the finalized account read back, ms, since the start."""
        return self._judging.settled_ms

    def unsettled(self, buyer: DeviceId) -> Micro:
        """What a buyer owes that nothing on the chain is set aside for yet, µ."""
        return self._work.tally.owed(buyer)

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
        return self._judging.alarm or self._difference

    def settlement_age_s(self, now: Now) -> float:
        """Age of the oldest trade that is not on the chain yet, s."""
        oldest_us = self._work.tally.oldest_us
        return 0.0 if oldest_us is None else max(0.0, (now.wall_us - oldest_us) / MICRO)

    @property
    def unsettled_trades(self) -> tuple[int, WallUs | None]:
        """How many are not paid yet; when the oldest that is not on the chain was confirmed."""
        return sum(self._work.tally.by_state().values()), self._work.tally.oldest_us

    def entries(self) -> Iterable[Entry]:
        """What the outbox holds."""
        return (work.entry for work in self._work)

    def view(self, now: Now) -> Mapping[str, object]:
        """The gauges for metrics: ages in s, trades by state, RPCs by number with the state of their breakers."""
        return {
            "settlement_age_s": round(self.settlement_age_s(now), 3),
            "outbox": self._work.tally.by_state(),
            "unsettled_micro": self._work.tally.owed_in_all,
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
            work = self._work.add(entry)
            if entry.live is not None:
                self._sending.take_off(work, now)
            else:
                self._signing.rest(work, now)
        return []

    def add(self, entry: Entry, now: Now) -> list[SettlerEffect]:
        """A trade whose row is durable: settle it. What is known already stays as it is."""
        if entry.lot_id not in self._work:
            self._signing.rest(self._work.add(entry), now)
        return []

    def hurry(self, now: Now) -> list[SettlerEffect]:
        """The operator wants everything tried now, whatever has been put off."""
        for work in self._work:
            work.failures = 0
            if work.is_at_rest:
                self._signing.rest(work, now)
        return []

    def reconciled(self, found: Sequence[Difference]) -> list[SettlerEffect]:
        """The chain was compared with the journal: a difference stops new lots until a comparison finds none."""
        before, self._difference = self._difference, found[0].words if found else None
        counted: list[SettlerEffect] = [Count("reconciled", "different" if found else "equal")]
        if before is not None and not found:
            counted.append(Log("reconciled", {"differences": 0}))
        new = [difference for difference in found if difference.words != before]
        said = [Log("reconcile_alarm", {**difference._asdict()}, "error") for difference in new[:MAX_SAID]]
        return [*counted, *said]

    # -- the journal

    def committed(self, commit: Commit, now: Now) -> list[SettlerEffect]:
        """Signed bytes are durable: now they may be sent."""
        signed = self._signing.committed(commit, now)
        for work in signed:
            self._sending.take_off(work, now)
        return [*(Count("settlements_signed") for _ in signed), *self._sending.pump()]

    def commit_failed(self, commit: Commit, now: Now) -> list[SettlerEffect]:
        """Signed bytes are not in the journal: they are forgotten, never sent."""
        return self._signing.commit_failed(commit, now)

    # -- answers

    def answered(self, ask: Ask, answer: Answer | RpcFailure, now: Now) -> list[SettlerEffect]:
        """An RPC's answer, or that there was none."""
        link = self._links[ask.rpc]
        link.sends_in_flight -= ask.purpose in SENDS
        link.polls_in_flight -= ask.purpose in POLLS
        if isinstance(answer, RpcFailure):
            effects = [*self._said(link, link.failed(ask, answer, now), now), Count("rpc_failures", answer.kind)]
            return effects + self._sending.pump()
        link.breaker.answered()
        try:
            effects = self._understood(ask, answer, now)
        except ContractsError as error:
            effects = self._said(link, link.unfit(str(error), now), now)
        return effects + self._sending.pump()

    def _understood(self, ask: Ask, answer: Answer, now: Now) -> list[SettlerEffect]:
        if ask.purpose in self._answers:
            return self._answers[ask.purpose](ask, answer, now)
        link = self._links[ask.rpc]
        was = link.usable
        effects: list[SettlerEffect] = list(link.answered(ask, answer, now, believed_height(self._links)))
        if ask.purpose in ("blockhash", "height"):
            effects += self._signing.may_go_on(now)
        return effects + self._said(link, link.usable and not was, now)

    def _said(self, link: Link, changed: bool, now: Now) -> list[SettlerEffect]:
        """A breaker moved: said once. Others may be enough to judge by now."""
        if not changed:
            return []
        if link.usable:
            self._sending.came_into_use(link)
        state, reason = link.breaker.state.value, link.breaker.reason
        effects: list[SettlerEffect] = [
            Log("rpc", {"rpc": link.number, "state": state, "reason": reason}, "warning" if reason else "info"),
            Count("rpc_breaker", state),
        ]
        return effects + self._judging.all_flying(now)

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        flying = self._work.flying > 0
        due = [self._work.to_send.next(), self._work.to_poll.next(), self._shortage.next_deadline()]
        due.append(self._signing.next_deadline())
        due += [link.next_deadline(flying=flying) for link in self._links]
        return min((at for at in due if at is not None), default=None)

    def advance(self, now: Now) -> list[SettlerEffect]:
        """Do what is due."""
        effects: list[SettlerEffect] = []
        for link in self._links:
            effects += link.advance(now, flying=self._work.flying > 0)
        self._sending.advance(now)
        effects += self._polling.advance(now)
        effects += self._shortage.advance(in_use(self._links), now)
        effects += self._signing.due(now)
        return effects + self._sending.pump()
