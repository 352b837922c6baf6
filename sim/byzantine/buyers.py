"""Hostile buyers: they confirm late, otherwise or never, bid beside everything, and say two things at once."""

from collections.abc import Iterator
from math import inf, nextafter
from typing import Final

from etp import messages
from etp.codes import MessageType, TerminateCode
from etp.discovery_limits import Address
from etp.frame import FRAME_SIZE, decode
from etp.record import NO_LOT, lot_of, message_id_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId
from sim.byzantine.hostile import EBB_S, Hostile, Impostor, Replayer, Shouter
from sim.clock import SLACK_S
from sim.link import End

BURST: Final = 3_400
"""Bids of a flood: more than a battery remembers of one device."""
CONFIRMS: Final = 40
"""Confirms of a flood: more than can wait for the disk."""
PAUSES_S: Final = (0.004, 0.02, 0.1, 0.6)
"""After so long it bids again, s: within a lot that closes soon, or late."""
NEAREST_S: Final = 2e-11
"""The least step towards an instant: below what a clock that has run for days can tell, s."""


class Withholder(Hostile):
    """Wins, and never confirms."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:  # noqa: ARG002 - one form for all
        """See Hostile."""
        if raw[0] != MessageType.CONFIRM:
            yield raw


class Latecomer(Hostile):
    """Confirms at the instant from which a Confirm counts no more, or a hair beside it, whatever the network lies between."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        if raw[0] != MessageType.CONFIRM:
            yield raw
            return
        battery = end.peer.node
        promise = battery.core.reservations.get(lot_of(raw)) if lot_of(raw) else None
        due_s = promise.deadline_s if promise else battery.core.reservations.next_deadline()
        if due_s is not None:
            beside_s = self.yard.rng.choice((0.0, 0.0, -1e-6, 1e-6))
            starts_s = battery.clock.true_s(due_s + beside_s) - 2 * SLACK_S
            self.later(max(0.0, starts_s - self.scheduler.time_s), self._nears, (end, raw, due_s + beside_s))

    def _nears(self, asked: tuple[End, bytes, float]) -> None:
        """Step by step, until the battery's clock reads what is wanted."""
        end, raw, reads_s = asked
        now_s, clock = self.scheduler.time_s, end.peer.node.clock
        if not (end.up and end.peer.up and end.peer.node.alive):
            return
        left_s = reads_s - clock.monotonic_s
        if left_s > 0.0:
            self.scheduler.call(max(nextafter(now_s, inf), now_s + max(left_s / 2, NEAREST_S)), self._nears, asked)
        else:
            self.bring(end, self.like(end, raw))


class Equivocator(Hostile):
    """Says two things under one id: Bids of two prices, Confirms of two energies."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        yield raw
        if raw[0] == MessageType.BID:
            price = decode(raw[:FRAME_SIZE]).bid_price
            yield self.like(end, raw, message_id=message_id_of(raw), bid_price=price + 1.0)
        elif raw[0] == MessageType.CONFIRM:
            yield self.like(end, raw, message_id=message_id_of(raw), required_energy_amount=0.001)


class Haggler(Hostile):
    """Bids beside the ask by a hair, what others bid, and again and again in one lot; for a hair too much or too little energy."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        if raw[0] == MessageType.BID:
            yield from self._beside(end, raw)
            for pause_s in PAUSES_S:
                self.later(pause_s * self.yard.rng.random(), self._again, (end, raw))
        yield raw

    def _again(self, asked: tuple[End, bytes]) -> None:
        """Exactly what the best bid of the others is, or something else."""
        end, raw = asked
        if not (end.up and end.peer.up and end.peer.node.alive):
            return
        desk = end.peer.node.core
        best, (_, energy) = desk.view()["best_micro_per_kwh"], desk.quote()
        if best and energy and self.sometimes(0.7):
            self.say(end.peer_id, self._bid(end, raw, best, energy))
        else:
            for each in self._beside(end, raw):
                self.say(end.peer_id, each)

    def _beside(self, end: End, raw: bytes) -> Iterator[bytes]:
        rng, (ask, energy) = self.yard.rng, end.peer.node.core.quote()
        for _ in range(rng.randint(0, 2)):
            price, wanted = ask + rng.choice((-1, 0, 1, 500)), rng.choice((energy, energy, energy - 1, energy + 1))
            yield self._bid(end, raw, max(1, price), max(1, wanted))

    def _bid(self, end: End, raw: bytes, price: int, energy: int) -> bytes:
        fields = {"bid_price": price / MICRO_PER_CENT, "required_energy_amount": energy / WH_PER_KWH}
        return self.like(end, raw, lot_id=end.peer.node.core.response().lot_id, **fields)


class Nonsense(Hostile):
    """Bids what no Bid can be: not finite, not whole, below nothing, out of the past or the future."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        rng = self.yard.rng
        if raw[0] != MessageType.BID or self.sometimes(0.5):
            yield raw
            return
        sign = self.like(end, raw)
        spot = rng.choice((18, 26, 50))
        yield sign[:spot] + rng.choice((b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\xff", bytes(8))) + sign[spot + 8 :]
        yield self.like(end, raw, message_id=message_id_of(raw) + rng.choice((-1, 1)) * rng.choice((10**6, 10**8)))


class Flooder(Shouter):
    """Many times more Bids than a battery takes, more Confirms than can wait, and more Queries than it answers."""

    _again_s = 0.0

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        yield raw
        if raw[0] == MessageType.CONFIRM:
            for _ in range(CONFIRMS):
                yield self.like(end, raw)
        elif raw[0] == MessageType.BID and self.scheduler.time_s >= self._again_s:
            self._again_s = self.scheduler.time_s + EBB_S
            for _ in range(BURST):
                yield self.like(end, raw)


class Deserter(Hostile):
    """Confirms what was not promised, and says goodbye to what it leads, and to what others were promised."""

    listens = True

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        if raw[0] != MessageType.CONFIRM:
            yield raw
        else:
            energy = decode(raw[:FRAME_SIZE]).required_energy_amount
            other = round(self.yard.rng.choice((0.001, energy + 0.001, energy / 2)) * WH_PER_KWH) / WH_PER_KWH
            yield from self.yard.rng.choice(
                (
                    (self.like(end, raw, required_energy_amount=other), raw),
                    (raw, self.like(end, raw)),
                    (raw, self._goodbye(end, lot_of(raw) or NO_LOT)),
                )
            )
        if self.sometimes(0.2):
            yield self._goodbye(end, lot_of(raw) or NO_LOT)

    def overheard(self, sender: int, receiver: int, raw: bytes) -> None:
        """See Hostile."""
        of_another = raw[0] == MessageType.ACCEPT and receiver != self.device_id
        end = self.roster.get(DeviceId(sender)) if of_another and self.alive else None
        if end is not None and end.up:
            self.say(DeviceId(sender), self._goodbye(end, lot_of(raw) or NO_LOT))

    def _goodbye(self, end: End, about: int) -> bytes:
        code = self.yard.rng.choice((TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER, TerminateCode.FINISHED))
        return self.own(end, messages.terminate(self.device_id, code), about)


WAYS: Final[tuple[type[Hostile], ...]] = (
    Haggler,
    Haggler,
    Deserter,
    Withholder,
    Latecomer,
    Equivocator,
    Nonsense,
    Flooder,
    Replayer,
    Impostor,
)


class Rogue(Haggler, Deserter, Withholder, Latecomer, Equivocator, Nonsense, Flooder, Replayer, Impostor):
    """Now this, now that; half of the time as it should, so that others go on trading with it."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        if self.sometimes(0.5):
            yield raw
        else:
            yield from self.yard.rng.choice(WAYS).instead(self, end, raw)

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node."""
        yield from self.yard.rng.choice(WAYS).shouting(self, data, source)
