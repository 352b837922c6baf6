"""The buyer's core: one affair at each battery, from Response to trade. Effects out; no clock, socket or file.

What is bid stays in the exposure until its fate is known; a Confirm leaves only after its row is durable (design §4).
"""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aggregator_node.portfolio import Portfolio
from aggregator_node.strategy import LotView, Strategy, price
from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, TerminateCode
from etp.effects import Commit, Count, Effect, Envelope, Log, Lookup, Row, Scalar, Send, Write
from etp.frame import Frame
from etp.ids import Ids
from etp.offset import OffsetEstimator
from etp.queue import stamp
from etp.state import AffairInput, AffairState, next_affair
from etp.timing import Timing, is_from_future, is_late
from etp.units import MICRO_PER_CENT, DeviceId, MicroPerKwh, MonotonicS, Wh, money

MAX_BATTERIES: Final = 4096
"""Batteries remembered; beyond it new ones are not traded with."""
PAUSE_S: Final = 1.0
"""After a refusal that says "not now", s."""
ASK_AGAIN_S: Final = 5.0
"""Without news from a battery that we want energy from, a Query, s."""
FATE_S: Final = 70.0
"""A bid without news for longer than a lot can last is sent again: its stored answer, or LATE, decides, s."""
LONGEST_RETRY_S: Final = 30.0
UNRESOLVED_S: Final = 600.0
"""Plain profile: after this an unanswered Confirm is UNRESOLVED, s (design §4)."""
REPLIES_KEPT: Final = 4096
COMMIT_LIMIT_S: Final = 0.4


@dataclass(slots=True, eq=False)
class Promise:
    """A Confirm on its way, or unanswered."""

    accept: bytes
    confirm: Envelope
    row: Row
    since_s: MonotonicS
    attempt: int = 0
    retry_s: float = float("inf")
    durable: bool = False


class Battery:
    """What a buyer knows of one battery."""

    __slots__ = (
        "affair", "ask", "bid", "bid_s", "connected", "device_id", "estimator", "for_sale", "min_s", "news_s", "promise", "warned"
    )  # fmt: skip

    def __init__(self, device_id: DeviceId) -> None:
        self.device_id = device_id
        self.affair = AffairState.NONE
        self.connected = False
        self.warned = False
        self.ask = MicroPerKwh(0)
        self.for_sale = Wh(0)
        self.bid: Envelope | None = None
        self.bid_s = 0.0
        self.promise: Promise | None = None
        self.min_s = 0.0
        self.news_s = 0.0
        self.estimator = OffsetEstimator()

    def move(self, cause: AffairInput) -> None:
        """Take a step of the table."""
        self.affair = next_affair(self.affair, cause)


class Buyer:
    """See the module. `value` is what a kWh is worth to this buyer, µ/kWh."""

    def __init__(
        self,
        device_id: DeviceId,
        *,
        value: MicroPerKwh,
        portfolio: Portfolio,
        strategy: Strategy,
        ids: Ids,
        rng: random.Random,
        timing: Timing,
    ) -> None:
        self.device_id = device_id
        self.portfolio = portfolio
        self.value = value
        self.stopping = False
        self.batteries: dict[DeviceId, Battery] = {}
        self.reply_times: deque[tuple[str, float]] = deque(maxlen=REPLIES_KEPT)
        self._retries: list[tuple[float, Commit]] = []
        self._strategy, self._ids, self._rng, self._timing = strategy, ids, rng, timing

    @property
    def open_promises(self) -> int:
        """Confirms that are not answered."""
        return sum(battery.promise is not None for battery in self.batteries.values())

    def restored(self, pending: Iterable[Row], now: Now) -> None:
        """After a restart: unanswered Confirms are sent again once their battery is reached."""
        for row in pending:
            battery = self._battery(DeviceId(int(str(row.body["battery"]))))
            assert battery is not None
            raw = bytes.fromhex(str(row.body["confirm"]))
            confirm = Envelope(Frame(MessageType.CONFIRM), raw)
            battery.promise = Promise(
                bytes.fromhex(str(row.body["accept"])), confirm, row, now.monotonic_s, durable=True
            )
            battery.affair = AffairState.CONFIRMING
            energy, paid = Wh(int(str(row.body["energy_wh"]))), MicroPerKwh(int(str(row.body["price_micro_per_kwh"])))
            self.portfolio.expose(battery.device_id, energy, paid)

    def _battery(self, device_id: DeviceId) -> Battery | None:
        if device_id not in self.batteries and len(self.batteries) < MAX_BATTERIES:
            self.batteries[device_id] = Battery(device_id)
        return self.batteries.get(device_id)

    # -- sessions

    def hello(self, now: Now) -> Envelope:
        """A Query that makes a battery just dialled speak, and so say which device it is."""
        envelope = Envelope(messages.query(self.device_id))
        stamp(envelope, self._ids, now)
        return envelope

    def session_opened(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """Connected: a Confirm or bid of unknown fate goes first, byte for byte; then ask what is for sale."""
        battery = self._battery(device_id)
        if battery is None:
            return [Count("batteries_refused")]
        battery.connected = True
        again: list[Effect] = []
        if battery.promise is not None and battery.promise.durable:
            again = self._confirm_again(battery, battery.promise, now)
        elif battery.bid is not None:
            again = [Send(device_id, battery.bid)]
        return [*again, *self._query(battery, now)]

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:  # noqa: ARG002 - every input carries its instant
        """Disconnected: what is bid or promised stays in the exposure until its fate is known."""
        if device_id in self.batteries:
            self.batteries[device_id].connected = False
        return []

    def _query(self, battery: Battery, now: Now) -> list[Effect]:
        envelope = Envelope(messages.query(self.device_id))
        stamp(envelope, self._ids, now)
        battery.estimator.asked(now, message_id=envelope.frame.message_id)
        battery.news_s = now.monotonic_s
        return [Send(battery.device_id, envelope)]

    # -- frames

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """A valid frame of the role from a battery's session."""
        battery = self._battery(device_id)
        if battery is None:
            return [Count("batteries_refused")]
        battery.news_s = now.monotonic_s
        handle = {
            MessageType.RESPONSE: self._response,
            MessageType.REJECT: self._reject,
            MessageType.ACCEPT: self._accept,
            MessageType.TERMINATE: self._terminate,
            MessageType.DEVICE_FAILURE: self._failure,
        }.get(MessageType(frame.message_type))
        return handle(battery, frame, raw, now) if handle else []

    def _too_old(self, frame: Frame, now: Now) -> bool:
        late = is_late(
            frame.message_type, frame.message_id, now.wall_us, skew_allowance_ms=self._timing.skew_allowance_ms
        )
        return late or is_from_future(frame.message_id, now.wall_us, future_limit_ms=self._timing.future_limit_ms)

    def _response(self, battery: Battery, frame: Frame, _: bytes, now: Now) -> list[Effect]:
        battery.estimator.answered(frame, now)
        if self._too_old(frame, now):
            return [Count("late_messages", "RESPONSE")]
        battery.for_sale = messages.offer(frame).for_sale
        battery.ask = MicroPerKwh(round(frame.sale_price * MICRO_PER_CENT))
        if battery.bid is not None and frame.bid_price == battery.bid.frame.bid_price:
            self._answered(battery, "RESPONSE", now)
            return []
        return self._bid(battery, now)

    def _answered(self, battery: Battery, kind: str, now: Now) -> None:
        if battery.bid_s:
            self.reply_times.append((kind, (now.monotonic_s - battery.bid_s) * 1000))
            battery.bid_s = 0.0

    def _clock_is_off(self, battery: Battery) -> list[Effect] | None:
        offset = battery.estimator.offset_ms
        if offset is None or abs(offset) <= self._timing.offset_limit_ms:
            battery.warned = False
            return None
        if battery.warned:
            return []
        battery.warned = True
        limit = self._timing.offset_limit_ms
        fields: dict[str, Scalar | float] = {
            "battery": battery.device_id,
            "offset_ms": round(offset),
            "limit_ms": limit,
        }
        return [Log("clock_is_off_no_bids_there", fields, "warning")]

    def _bid(self, battery: Battery, now: Now) -> list[Effect]:
        """Bid where something is for sale, needed, and worth its ask."""
        idle = battery.affair is AffairState.NONE and battery.connected and not self.stopping
        if not idle or battery.for_sale <= 0 or now.monotonic_s < battery.min_s:
            return []
        off = self._clock_is_off(battery)
        if off is not None:
            return off
        offered = price(self._strategy, LotView(self.value, battery.ask), self._rng)
        energy = self.portfolio.wanted(battery.for_sale, offered) if offered is not None else Wh(0)
        if offered is None or energy <= 0:
            return []
        self.portfolio.expose(battery.device_id, energy, offered)
        battery.bid = Envelope(messages.bid(self.device_id, price=offered, energy=energy))
        stamp(battery.bid, self._ids, now)
        battery.bid_s = now.monotonic_s
        battery.move(AffairInput.TAKES_PART)
        return [Send(battery.device_id, battery.bid), Count("bids")]

    def _free(self, battery: Battery) -> None:
        battery.bid = None
        battery.move(AffairInput.FREED)
        self.portfolio.release(battery.device_id)

    def _reject(self, battery: Battery, frame: Frame, _: bytes, now: Now) -> list[Effect]:
        if (
            battery.affair is not AffairState.BIDDING
            or battery.bid is None
            or frame.bid_price != battery.bid.frame.bid_price
        ):
            return [Count("rejects_of_older_bids")]
        code = RejectCode(frame.termination_code) if frame.termination_code in set(RejectCode) else None
        self._answered(battery, "REJECT", now)
        self._free(battery)
        counted = Count("rejected", code.name if code else "unknown")
        if code in (RejectCode.OUTBID, RejectCode.BELOW_RESERVE) and frame.sale_price > 0:
            battery.ask = MicroPerKwh(round(frame.sale_price * MICRO_PER_CENT))
            return [counted, *self._bid(battery, now)]
        if (
            code is RejectCode.INSUFFICIENT
            and 0 < messages.offer(frame._replace(percentage_for_sale=100.0)).for_sale < battery.for_sale
        ):
            battery.for_sale = messages.offer(frame._replace(percentage_for_sale=100.0)).for_sale
            return [counted, *self._bid(battery, now)]
        battery.min_s = now.monotonic_s + PAUSE_S
        return [counted]

    def _accept(self, battery: Battery, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        if battery.promise is not None:
            known = battery.promise.accept == raw
            return self._confirm_again(battery, battery.promise, now) if known and battery.promise.durable else []
        self._answered(battery, "ACCEPT", now)
        code = self._fault(battery, frame, now)
        if code is not None:
            return self._decline(battery, code)
        battery.bid = None
        battery.move(AffairInput.WON)
        battery.move(AffairInput.CONFIRMED)
        terms = messages.terms(frame)
        self.portfolio.expose(battery.device_id, terms.energy, terms.paid)
        confirm = Envelope(messages.confirm(self.device_id, frame))
        row = self._row(battery, frame, confirm=stamp(confirm, self._ids, now), raw=raw, now=now)
        battery.promise = Promise(raw, confirm, row, now.monotonic_s)
        return [Commit((row,), "confirming", (battery.device_id,), now.monotonic_s)]

    def _fault(self, battery: Battery, frame: Frame, now: Now) -> TerminateCode | None:
        """Why an Accept is not confirmed: late, unasked, dear or too much."""
        if self._too_old(frame, now):
            return TerminateCode.TIMEOUT
        if battery.bid is None or self.stopping:
            return TerminateCode.CANNOT_DELIVER
        asked, awarded = messages.terms(battery.bid.frame), messages.terms(frame)
        fair = 0 < awarded.paid <= asked.bid_price and 0 < awarded.energy <= asked.energy
        return None if fair else TerminateCode.CANNOT_DELIVER

    def _decline(self, battery: Battery, code: TerminateCode) -> list[Effect]:
        if battery.affair is AffairState.BIDDING:
            self._free(battery)
        return [
            Send(battery.device_id, Envelope(messages.terminate(self.device_id, code))),
            Count("declined", code.name),
        ]

    def _row(self, battery: Battery, accept: Frame, *, confirm: bytes, raw: bytes, now: Now) -> Row:
        terms = messages.terms(accept)
        body: dict[str, Scalar] = {
            "battery": battery.device_id,
            "bidder": self.device_id,
            "message_id": int.from_bytes(confirm[1:9], "little"),
            "energy_wh": terms.energy,
            "price_micro_per_kwh": terms.paid,
            "confirm": confirm.hex(),
            "accept": raw.hex(),
        }
        return Row("promise", 0, "confirming", now.wall_us, body, str(battery.device_id), pending=True)

    def _confirm_again(self, battery: Battery, promise: Promise, now: Now) -> list[Effect]:
        delay = min(self._timing.confirm_retry_ms / 1000 * 2**promise.attempt, LONGEST_RETRY_S)
        promise.attempt += 1
        promise.retry_s = now.monotonic_s + delay
        return [Send(battery.device_id, promise.confirm)]

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The row is durable: the Confirm may leave, unless it would come too late."""
        battery = self.batteries[DeviceId(commit.keys[0])]
        if commit.purpose != "confirming" or battery.promise is None:
            return []
        if now.monotonic_s - commit.asked_s > COMMIT_LIMIT_S:
            return self._give_up(battery, battery.promise, TerminateCode.TIMEOUT, now)
        battery.promise.durable = True
        return self._confirm_again(battery, battery.promise, now)

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The row is not in the journal: nothing is confirmed."""
        battery = self.batteries[DeviceId(commit.keys[0])]
        if commit.purpose != "confirming" or battery.promise is None:
            self._retries.append((now.monotonic_s + PAUSE_S, commit))
            return []
        return self._give_up(battery, battery.promise, TerminateCode.CANNOT_DELIVER, now)

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:  # noqa: ARG002 - of the shell's interface
        """The buyer looks nothing up."""
        return []

    def _give_up(self, battery: Battery, promise: Promise, code: TerminateCode, now: Now) -> list[Effect]:
        self._close(battery, AffairInput.RELEASED)
        row = promise.row._replace(state="released", time_us=now.wall_us, pending=False)
        return [Write((row,)), Send(battery.device_id, Envelope(messages.terminate(self.device_id, code)))]

    def _close(self, battery: Battery, cause: AffairInput) -> None:
        battery.promise = None
        battery.move(cause)
        self.portfolio.release(battery.device_id)

    def _terminate(self, battery: Battery, frame: Frame, _: bytes, now: Now) -> list[Effect]:
        promise = battery.promise
        if frame.termination_code == TerminateCode.SHUTTING_DOWN and battery.affair is AffairState.BIDDING:
            self._free(battery)
        if promise is None or not promise.durable or frame.termination_code > TerminateCode.CANNOT_DELIVER:
            return []
        finished = frame.termination_code == TerminateCode.FINISHED
        rows = self._end_rows(promise, finished=finished, now=now)
        energy, paid = (
            Wh(int(str(promise.row.body["energy_wh"]))),
            MicroPerKwh(int(str(promise.row.body["price_micro_per_kwh"]))),
        )
        self._close(battery, AffairInput.FINISHED if finished else AffairInput.RELEASED)
        if finished:
            self.portfolio.buy(battery.device_id, energy, paid)
        ended = Commit(rows, "ended", (battery.device_id,), now.monotonic_s)
        return [ended, Count("promises", "finished" if finished else "released"), *self._bid(battery, now)]

    def _end_rows(self, promise: Promise, *, finished: bool, now: Now) -> tuple[Row, ...]:
        body = dict(promise.row.body)
        state = "finished" if finished else "released"
        end = promise.row._replace(state=state, time_us=now.wall_us, pending=False)
        if not finished:
            return (end,)
        cost = money(MicroPerKwh(int(str(body["price_micro_per_kwh"]))), Wh(int(str(body["energy_wh"]))))
        trade = {key: value for key, value in body.items() if key not in ("confirm", "accept")} | {"paid_micro": cost}
        return (end, Row("trade", 0, "confirmed", now.wall_us, trade, str(body["message_id"])))

    def _failure(self, battery: Battery, frame: Frame, _: bytes, now: Now) -> list[Effect]:  # noqa: ARG002
        if battery.affair is AffairState.BIDDING:
            self._free(battery)
        battery.for_sale = Wh(0)
        return [Count("device_failures", str(frame.termination_code))]

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        due = [at for battery in self.batteries.values() for at in self._dues(battery)]
        due += [at for at, _ in self._retries]
        return MonotonicS(min(due)) if due else None

    def _dues(self, battery: Battery) -> list[float]:
        if battery.promise is not None:
            return [min(battery.promise.retry_s, battery.promise.since_s + UNRESOLVED_S)]
        if not battery.connected or self.stopping or (self.portfolio.filled and battery.bid is None):
            return []
        return [battery.news_s + (FATE_S if battery.bid is not None else ASK_AGAIN_S)]

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due: Confirms again, unresolved ones, silent bids, a fresh Query."""
        effects: list[Effect] = [commit for at, commit in self._retries if at <= now.monotonic_s]
        self._retries = [retry for retry in self._retries if retry[0] > now.monotonic_s]
        for battery in list(self.batteries.values()):
            if any(at <= now.monotonic_s for at in self._dues(battery)):
                effects += self._due(battery, now)
        return effects

    def _due(self, battery: Battery, now: Now) -> list[Effect]:
        promise = battery.promise
        if promise is not None and now.monotonic_s >= promise.since_s + UNRESOLVED_S:
            row = promise.row._replace(state="unresolved", time_us=now.wall_us, pending=False)
            self._close(battery, AffairInput.RELEASED)
            return [Write((row,)), Count("promises", "unresolved")]
        if promise is not None:
            return self._confirm_again(battery, promise, now)
        battery.news_s = now.monotonic_s
        return [Send(battery.device_id, battery.bid)] if battery.bid is not None else self._query(battery, now)

    def stop(self) -> None:
        """No new bids; promises are still seen through."""
        self.stopping = True
