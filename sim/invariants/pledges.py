"""How the promises of one battery end: confirmed in time by their own buyers, or given up for a reason that shows from outside.

Follows each lot from its RESERVED on, by the battery's own clock, with what its peers, its disk and its device did meanwhile. What
a lapse, an open promise or a bad disk excuse in the market is asked here, too.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from etp.clock import Now
from etp.codes import MessageType
from etp.effects import Row
from etp.frame import FRAME_SIZE, decode
from etp.record import lot_of, message_id_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.auction import NEWEST_US, OLDEST_US
from sim.invariants.books import BatteryBooks, Violation, whole
from sim.invariants.ledger import CONFIRMED, RESERVED

WINDOW_S: Final = 1.0
"""From an Accept's commit to the last moment its Confirm counts, s (design §4)."""
LATENESS_S: Final = 0.06
"""By how much a timer may be late to give up what was not confirmed: 0.05 s of a busy loop (`sim.draw`), and a turn, s."""
SLOW_S: Final = 0.4
"""A reservation that took longer to become durable is given up, and its Accept not sent, s (design §4)."""
BAD_DISK_S: Final = 1.0
"""After a commit that failed nothing new is promised for so long, s."""
NEVER_S: Final = float("-inf")
NOW_S: Final = float("inf")
CONFIRM: Final = MessageType.CONFIRM.value
TERMINATE: Final = MessageType.TERMINATE.value
LAPSES: Final = frozenset({"no confirm", "declined", "other terms"})
"""Ends of a promise that may bar its buyer for a while (design §4)."""


class Cause(NamedTuple):
    """What made a core decide: a frame of a peer, its lost session (empty), or nothing from outside (None); when, by its clocks."""

    raw: bytes | None
    peer: int
    now: Now
    failed: bool
    """It says in the same turn that its device has failed."""

    def __str__(self) -> str:
        if self.raw is None:
            return "of itself"
        return f"by a {MessageType(self.raw[0]).name} of {self.peer}" if self.raw else f"{self.peer} lost its session"


class Pledges:
    """See the module."""

    def __init__(self, books: BatteryBooks) -> None:
        self._books = books
        self._asked_s: dict[int, float] = {}
        """By lot: when its RESERVED was on its way to the journal."""
        self._accepted_s: dict[int, float] = {}
        """By lot: when its Accept was first sent."""
        self.open_s: dict[int, float] = {}
        """Those of it that have not ended."""
        self._promised: dict[int, set[int]] = defaultdict(set)
        """By buyer: lots whose promise is neither confirmed nor released durably."""
        self._given_up: set[int] = set()
        """Lots whose release was judged."""
        self._lapsed: set[int] = set()
        """Buyers that did not take what they were promised."""
        self._unwritten: set[int] = set()
        """Lots whose CONFIRMED the journal refused."""
        self._failed_s, self._refused_s = NEVER_S, NEVER_S
        """When the device last failed, and the journal last refused a commit (NOW_S: before the turn that comes)."""
        self.unended: set[int] = set()
        """Lots that were RESERVED when the process ended, and are not RELEASED yet."""
        self._reasons: dict[str, Callable[[Row, Cause], bool]] = {
            "declined": partial(self._is_by_its_buyer, TERMINATE),
            "late confirm": self._is_late,
            "other terms": self._is_other,
            "no confirm": self._ran_out,
            "accept not sent": self._not_accepted,
            "device failure": lambda _, cause: cause.raw is None and cause.failed,
            "journal failed": lambda row, cause: cause.raw is None and row.lot_id in self._unwritten,
            "restart": lambda row, cause: cause.raw is None and row.lot_id in self.unended,
        }
        """Why a promise may be given up → whether it shows. "shutting down" is not here: nobody stops a simulated battery."""

    # -- what happens

    def turn(self, now: Now) -> None:
        """The battery decides something."""
        if self._refused_s == NOW_S:
            self._refused_s = now.monotonic_s

    def reserved(self, row: Row, now: Now) -> None:
        """A RESERVED is on its way to the journal."""
        self._asked_s[row.lot_id] = now.monotonic_s
        self._promised[whole(row, "bidder")].add(row.lot_id)

    def accepting(self, lot_id: int, now: Now) -> None:
        """An Accept is sent."""
        if lot_id not in self._accepted_s:
            self._accepted_s[lot_id] = self.open_s[lot_id] = now.monotonic_s

    def device_failed(self, now: Now) -> None:
        """The battery says so."""
        self._failed_s = now.monotonic_s

    def refused(self, rows: Sequence[Row]) -> None:
        """A commit of these rows is not in the journal, and will not be."""
        self._refused_s = NOW_S
        for row in rows:
            if row.kind == "promise" and row.state == CONFIRMED:
                self._unwritten.add(row.lot_id)
            elif row.kind == "promise" and row.state == RESERVED:
                self._promised[whole(row, "bidder")].discard(row.lot_id)

    def durable(self, row: Row) -> None:
        """How a promise ended is in the journal."""
        self.unended.discard(row.lot_id)
        self._promised[whole(row, "bidder")].discard(row.lot_id)

    def restarted(self, pending: Collection[int]) -> None:
        """A new process: what was RESERVED is RELEASED before it says anything (design §4)."""
        for table in (self._asked_s, self.open_s, self._promised, self._given_up, self._lapsed, self._unwritten):
            table.clear()
        self.unended = set(pending)

    # -- how it ends

    def confirms(self, row: Row, cause: Cause) -> Iterator[Violation]:
        """CONFIRMED is asked for: by a Confirm of its buyer, in time."""
        self.open_s.pop(row.lot_id, None)
        if not self._is_by_its_buyer(CONFIRM, row, cause):
            yield self._broken("sender", f"lot {row.lot_id} is confirmed without a Confirm of {row.body['bidder']}")
        elif self._is_late(row, cause):
            said = f"{cause.now.monotonic_s - self._accepted_s.get(row.lot_id, 0.0):.6f} s after its Accept"
            yield self._broken("window", f"lot {row.lot_id} is confirmed by a late Confirm, {said}")

    def releases(self, row: Row, cause: Cause) -> Iterator[Violation]:
        """RELEASED is asked for: for a reason that the design names and that shows; from outside its own buyer alone gives one."""
        self.open_s.pop(row.lot_id, None)
        if row.lot_id in self._given_up:
            return  # what could not be written is tried again
        self._given_up.add(row.lot_id)
        reason = str(row.body["reason"])
        if reason in LAPSES:
            self._lapsed.add(whole(row, "bidder"))
        shows = self._reasons.get(reason)
        if shows is None or not shows(row, cause):
            yield self._broken("released", f"lot {row.lot_id} of {row.body['bidder']} is given up, {reason}: {cause}")

    def overdue(self, now: Now) -> Iterator[Violation]:
        """Every Accept ends within its window. Those are in the order in which they were sent: the first one tells."""
        lot_id, accepted_s = next(iter(self.open_s.items()), (0, now.monotonic_s))
        if now.monotonic_s > accepted_s + WINDOW_S + LATENESS_S:
            del self.open_s[lot_id]
            said = f"lot {lot_id} has no end {now.monotonic_s - accepted_s:.3f} s after its Accept"
            yield self._broken("window", said)

    def may_bar(self, bidder: int, now: Now) -> bool:
        """Whether a bidder may be told UNAVAILABLE in a lot that is open: for its promise, a lapse, a debt, or a bad disk."""
        bad = now.monotonic_s <= self._refused_s + BAD_DISK_S
        return bad or bidder in self._lapsed or self._books.settles or bool(self._promised.get(bidder))

    # -- reasons

    @staticmethod
    def _is_by_its_buyer(kind: int, row: Row, cause: Cause) -> bool:
        """Its own buyer has just sent a frame of that kind, about this lot."""
        raw = cause.raw
        if not raw or raw[0] != kind or cause.peer != whole(row, "bidder"):
            return False
        return lot_of(raw) in (None, row.lot_id)

    def _is_late(self, row: Row, cause: Cause) -> bool:
        """A Confirm of its buyer that counts no more, by the Accept or by its own age."""
        if not self._is_by_its_buyer(CONFIRM, row, cause):
            return False
        age_us = cause.now.wall_us - message_id_of(cause.raw or b"")
        accepted_s = self._accepted_s.get(row.lot_id, NEVER_S)
        return cause.now.monotonic_s >= accepted_s + WINDOW_S or not -NEWEST_US <= age_us <= OLDEST_US

    def _is_other(self, row: Row, cause: Cause) -> bool:
        """A Confirm of its buyer that has other terms than the promise."""
        if not self._is_by_its_buyer(CONFIRM, row, cause):
            return False
        frame = decode((cause.raw or b"")[:FRAME_SIZE])
        said = round(frame.required_energy_amount * WH_PER_KWH), round(frame.sale_price * MICRO_PER_CENT)
        return said != (whole(row, "energy_wh"), whole(row, "price_micro_per_kwh"))

    def _ran_out(self, row: Row, cause: Cause) -> bool:
        """Nobody has confirmed it for as long as its window is."""
        accepted_s = self._accepted_s.get(row.lot_id, NOW_S)
        return cause.raw is None and cause.now.monotonic_s >= accepted_s + WINDOW_S

    def _not_accepted(self, row: Row, cause: Cause) -> bool:
        """Its Accept has not left: the journal was slow, the device has failed meanwhile, or the chain stops all lots."""
        asked_s = self._asked_s.get(row.lot_id)
        if asked_s is None or cause.raw is not None or row.lot_id in self._accepted_s:
            return False
        return cause.now.monotonic_s > asked_s + SLOW_S or self._failed_s >= asked_s or self._books.settles

    def _broken(self, name: str, said: str) -> Violation:
        return Violation(name, self._books.device_id, said)
