"""A game played by the full cores: one desk, its buyers, frames between them, promises made durable; virtual time, no sockets.

Every frame is stamped, read and judged as its profile does it, and takes `DELAY_S`; a commit takes `COMMIT_S`. The desk is
built as its daemon builds it, a buyer of the parts of which its daemon builds it: only its strategy may be one that no daemon
offers, since it knows what no real buyer does. They decide everything; this file only carries effects.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from random import Random
from typing import Any, Final

import numpy as np

from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.view import Strategy
from aggregator_node.worth import Constant
from bess_node.build import desk_of, limits_of
from bess_node.settings import BessSettings
from etp.effects import Broadcast, Commit, Count, Effect, Envelope, Log, Lookup, RecordBid, Row, Send, Write
from etp.ids import Ids
from etp.profile import Plain, Received
from etp.timing import Timing
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, MicroPerKwh, MonotonicS, money
from lab.theory.games import Game
from lab.theory.model import CLOSING_S, DELAY_S, INCREMENT, MAX_S, ONE, REPLY_S, UNIT, Ints
from sim.disk import Disk
from sim.scheduler import EPOCH_US, Scheduler

COMMIT_S: Final = 0.002
"""How long rows take to become durable, s."""
ENOUGH_S: Final = REPLY_S * (ONE // INCREMENT + 2) + CLOSING_S + 1.0
"""After every step of the whole range and the close, s: the promises of a lot are through by then."""
BATTERY: Final = DeviceId(1)
FIRST_BUYER: Final = 100
"""Buyers are numbered from here."""


NOT_CARRIED: Final = frozenset({RecordBid, Count, Log})
"""Effects that only an operator ever sees: counters, log lines, and the ring of bids, which is never waited for."""


class RoomError(Exception):
    """A draw that did not go as one must: a promise is open, the books of both sides differ, or an effect is not known here."""


class Seat:
    """A node: its core, its journal, and its next alarm."""

    def __init__(self, device_id: DeviceId, core: Any, profile: Plain) -> None:
        self.device_id, self.core, self.profile, self.disk = device_id, core, profile, Disk()
        self.alarm_s = float("inf")


class Room:
    """One draw. `strategy` bids for every buyer; `values` are theirs, in the order in which they hear of the lot."""

    def __init__(self, game: Game, strategy: Strategy, values: Sequence[int], reserve: MicroPerKwh) -> None:
        self._scheduler = Scheduler()
        self._seats: dict[DeviceId, Seat] = {}
        self._carriers: dict[type, Callable[[Seat, Any], None]] = {
            Send: self._send,
            Broadcast: self._broadcast,
            Commit: self._commit,
            Write: self._write,
            Lookup: self._lookup,
        }
        now, settings = self._scheduler.now(), _settings(game.name, reserve, game.lots)
        profile = Plain(Ids(EPOCH_US))
        desk = desk_of(settings, series=None, level=None, profile=profile, limits=limits_of(settings), now=now)
        self._battery = self._seat(BATTERY, desk, profile)
        self._buyers = [self._buyer(index, strategy, value) for index, value in enumerate(values)]

    def _seat(self, device_id: DeviceId, core: Any, profile: Plain) -> Seat:
        seat = self._seats[device_id] = Seat(device_id, core, profile)
        return seat

    def _buyer(self, index: int, strategy: Strategy, value: int) -> Seat:
        device_id, profile = DeviceId(FIRST_BUYER + index), Plain(Ids(EPOCH_US))
        buyer = Buyer(
            device_id,
            worth=Constant(MicroPerKwh(value)),
            portfolio=Portfolio(UNIT),
            strategy=strategy,
            profile=profile,
            rng=Random(index),
            timing=Timing(),
        )
        return self._seat(device_id, buyer, profile)

    def play(self) -> list[int]:
        """What each buyer pays, µ/kWh; 0: it wins nothing. Raises RoomError."""
        now = self._scheduler.now()
        self._apply(self._battery, self._battery.core.opened(now))
        for seat in self._buyers:
            self._apply(self._battery, self._battery.core.session_bound(seat.device_id, now))
            self._apply(seat, seat.core.session_opened(BATTERY, now))
        self._scheduler.run(ENOUGH_S)
        return self._payments()

    def _payments(self) -> list[int]:
        payments = [0] * len(self._buyers)
        for row in self._battery.disk.rows:
            if row.kind == "trade":
                payments[int(str(row.body["bidder"])) - FIRST_BUYER] = int(str(row.body["price_micro_per_kwh"]))
        for seat, price in zip(self._buyers, payments, strict=True):
            owed = money(MicroPerKwh(price), UNIT)
            if seat.core.open_promises or seat.core.portfolio.paid != owed:
                raise RoomError(
                    f"buyer {seat.device_id} paid {seat.core.portfolio.paid} µ, its battery was paid {owed} µ"
                )
        return payments

    # -- effects

    def _apply(self, seat: Seat, effects: Iterable[Effect]) -> None:
        for effect in effects:
            carry = self._carriers.get(type(effect))
            if carry is not None:
                carry(seat, effect)
            elif type(effect) not in NOT_CARRIED:
                known = ", ".join(sorted(kind.__name__ for kind in (*self._carriers, *NOT_CARRIED)))
                raise RoomError(f"device {seat.device_id} has {effect!r}; expected one of {known}")
        self._watch(seat)

    def _send(self, seat: Seat, effect: Send) -> None:
        now, envelope = self._scheduler.now(), effect.envelope
        raw = envelope.raw or seat.profile.stamp(envelope, effect.device_id, now)
        reader = self._seats[effect.device_id]
        self._scheduler.after(DELAY_S, lambda: self._arrive(seat.device_id, reader, raw))

    def _broadcast(self, seat: Seat, effect: Broadcast) -> None:
        for buyer in self._buyers:
            self._send(seat, Send(buyer.device_id, Envelope(effect.frame, lot_id=effect.lot_id)))

    def _commit(self, seat: Seat, effect: Commit) -> None:
        self._scheduler.after(COMMIT_S, lambda: self._durable(seat, effect))

    def _write(self, seat: Seat, effect: Write) -> None:
        seat.disk.store(effect.rows)

    def _lookup(self, seat: Seat, effect: Lookup) -> None:
        row: Row | None = seat.disk.find(effect.kind, effect.subject)
        self._apply(seat, seat.core.found(effect, row, self._scheduler.now()))

    # -- what happens

    def _durable(self, seat: Seat, commit: Commit) -> None:
        seat.disk.store(commit.rows)
        self._apply(seat, seat.core.committed(commit, self._scheduler.now()))

    def _arrive(self, sender: DeviceId, reader: Seat, raw: bytes) -> None:
        now = self._scheduler.now()
        reading = reader.profile.read(raw, sender, now)
        if not isinstance(reading, Received):
            raise RoomError(f"device {reader.device_id} refused a frame of {sender}: {reading.reason}")
        self._apply(reader, reader.core.receive(sender, reading.frame, raw, now, fresh=reading.fresh))

    def _watch(self, seat: Seat) -> None:
        due: MonotonicS | None = seat.core.next_deadline()
        if due is not None and due < seat.alarm_s:
            seat.alarm_s = due
            self._scheduler.at(due, lambda: self._advance(seat, due))

    def _advance(self, seat: Seat, due: float) -> None:
        if seat.alarm_s == due:
            seat.alarm_s = float("inf")
            self._apply(seat, seat.core.advance(self._scheduler.now()))


@lru_cache(maxsize=64)
def _settings(mechanism: str, reserve: MicroPerKwh, lots: int) -> BessSettings:
    """A battery that holds the units that are sold and nothing more, and loses nothing on the way."""
    energy_kwh = lots * UNIT / WH_PER_KWH
    return BessSettings.model_validate(
        {
            "device_id": BATTERY,
            "profile": "plain",
            "mechanism": mechanism,
            "capacity_kwh": energy_kwh,
            "for_sale": 100.0,
            "efficiency": 1.0,
            "reserve": reserve / MICRO_PER_CENT,
            "increment": INCREMENT / MICRO_PER_CENT,
            "closing_ms": round(CLOSING_S * 1000),
            "lot_max_s": MAX_S,
        }
    )


def played(game: Game, values: Ints, reserve: MicroPerKwh) -> Ints:
    """What every buyer pays in every draw, µ/kWh; 0: it wins nothing. Raises RoomError."""
    strategy = game.strategy_of(values.shape[1])
    rows = [Room(game, strategy, row, reserve).play() for row in values.tolist()]
    return np.array(rows, dtype=np.int64).reshape(values.shape)
