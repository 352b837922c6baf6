"""Hostile batteries: they accept what they have not, say nothing, or now this and now that."""

from collections.abc import Iterator
from typing import Final

from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.discovery_limits import Address
from etp.frame import FRAME_SIZE, decode
from etp.messages import Offer
from etp.record import NO_LOT, lot_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH, MicroPerKwh, Wh
from sim.byzantine.hostile import Hostile, Impostor, Replayer
from sim.link import End


class Mute(Hostile):
    """Offers, takes bids, and never says how anything ended."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:  # noqa: ARG002 - one form for all
        """See Hostile."""
        if raw[0] in (MessageType.RESPONSE, MessageType.STATUS):
            yield raw


class Grasper(Hostile):
    """Accepts what it has not, dearer than was bid, more than was asked for, of several, and twice."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        rng, said = self.yard.rng, decode(raw[:FRAME_SIZE])
        yield raw
        takes_part = said.message_type == MessageType.RESPONSE and said.bid_price > 0
        if takes_part or said.message_type == MessageType.ACCEPT:
            price = round(
                (said.sale_price if said.message_type == MessageType.ACCEPT else said.bid_price) * MICRO_PER_CENT
            )
            awarded = round(said.required_energy_amount * WH_PER_KWH)
            paid = MicroPerKwh(price + rng.choice((0, 1, 500, 100_000)))
            energy = Wh(rng.choice((1, 100, awarded or 1, round(said.energy_total * WH_PER_KWH) + 1)))
            accept = messages.accept(
                self.device_id, energy=energy, paid=paid, bid_price=MicroPerKwh(price), offer=Offer(energy, energy)
            )
            yield self.own(end, accept, (lot_of(raw) or NO_LOT) + rng.choice((0, 0, 1)))


class Denier(Hostile):
    """Says of each promise now this and now that: finished, timed out, rejected, failed."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        rng, about = self.yard.rng, lot_of(raw) or NO_LOT
        if raw[0] not in (MessageType.TERMINATE, MessageType.ACCEPT, MessageType.REJECT):
            yield raw
            return
        price = MicroPerKwh(round(decode(raw[:FRAME_SIZE]).bid_price * MICRO_PER_CENT))
        code = rng.choice((TerminateCode.FINISHED, TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER))
        refused = rng.choice((RejectCode.OUTBID, RejectCode.INSUFFICIENT, RejectCode.ANOTHER_WON))
        lies = (
            messages.terminate(self.device_id, code),
            messages.reject(self.device_id, refused, refused=price / MICRO_PER_CENT),
            messages.device_failure(self.device_id, FailureCode.BATTERY),
        )
        both = [raw, self.own(end, rng.choice(lies), about)]
        rng.shuffle(both)
        yield from both[: rng.randint(1, 2)]


WAYS: Final[tuple[type[Hostile], ...]] = (Grasper, Grasper, Denier, Replayer, Impostor)


class Rogue(Grasper, Denier, Replayer, Impostor):
    """Now this, now that."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        yield from self.yard.rng.choice(WAYS).instead(self, end, raw)

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node."""
        yield from self.yard.rng.choice(WAYS).shouting(self, data, source)
