"""What peers that do not play by the rules share, and those that can have either role.

A hostile node's core is the shipped one; its words are bent on their way out. It holds no key but its own, and knows what any
member knows: the registry, what was said to it, and, some, what passes by on the network.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from etp.codes import Role
from etp.discovery_limits import Address
from etp.effects import Envelope
from etp.frame import FRAME_SIZE, Frame, decode, encode
from etp.record import NO_LOT, lot_of, seal, trailer
from etp.session import PREFIX_SIZE
from etp.signed import Signed
from etp.units import DeviceId, LotId
from sim.link import End
from sim.node import Node

KEPT: Final = 64
"""Messages that one of them keeps, to say them again."""
SHOUTED: Final = 5
"""Datagrams that leave beside one of its own, at most."""
SHOUTS: Final = 1_000
"""Datagrams of a flood."""
EBB_S: Final = 30.0
"""Between two floods, s."""


class Hostile(Node[Any]):
    """What they share: each message that is about to leave may be replaced by any others."""

    bends = True
    listens = False
    """Whether it hears what others say on the network."""
    _listening = False

    def opened(self, end: End) -> None:
        """See Node. What passes by is heard from the first link on."""
        super().opened(end)
        if not self.listens or self._listening:
            return
        self._listening, network = True, end.link.network
        told = network.told

        def both(sender: int, receiver: int, raw: bytes, time_s: float) -> None:
            if told is not None:
                told(sender, receiver, raw, time_s)
            if sender != self.device_id:
                self.overheard(sender, receiver, raw)

        network.told = both

    def overheard(self, sender: int, receiver: int, raw: bytes) -> None:
        """Somebody else said something to somebody."""

    def leaving(self, end: End, data: bytes) -> bytes:
        """See Node."""
        packet = PREFIX_SIZE + self.profile.size
        said = [data[at + PREFIX_SIZE : at + packet] for at in range(0, len(data), packet)]
        return b"".join(prefixed(each) for raw in said for each in self.instead(end, raw))

    def instead(self, end: End, raw: bytes) -> Iterable[bytes]:  # noqa: ARG002 - for those that look at the receiver
        """What leaves in place of a message."""
        return (raw,)

    def own(self, end: End, frame: Frame, lot_id: int = NO_LOT) -> bytes:
        """A message of its own that is as it should be."""
        return self.profile.stamp(Envelope(frame, lot_id=LotId(lot_id)), end.peer_id, self.now())

    def like(self, end: End, raw: bytes, *, lot_id: int | None = None, **fields: Any) -> bytes:
        """A message with other fields, under its own key; `message_id` and `device_id` stay this node's, unless they are named."""
        legal = decode(raw[:FRAME_SIZE])._replace(**(fields | {"device_id": self.device_id}))
        fresh = self.own(end, legal, lot_of(raw) or NO_LOT if lot_id is None else lot_id)
        named = {key: fields[key] for key in ("message_id", "device_id") if key in fields}
        return self.bent(fresh, **named) if named else fresh

    def bent(self, raw: bytes, **fields: Any) -> bytes:
        """A message of its own with other fields, `message_id` and `device_id` too, under its own key."""
        bent = decode(raw[:FRAME_SIZE])._replace(**fields)
        if not isinstance(self.profile, Signed):
            return encode(bent)
        said = trailer(raw)
        return seal(
            bent,
            encode(bent),
            counter=said.counter,
            lot_id=said.lot_id,
            recipient=said.recipient,
            network=self.profile.network_id,
            sign=self.profile.identity.key.sign,
        )

    def others(self, role: Role) -> list[DeviceId]:
        """Other members of a role; in `plain` there is no list of them."""
        members = self.profile.registry if isinstance(self.profile, Signed) else ()
        return [each.device_id for each in members if each.role is role and each.device_id != self.device_id]

    def bring(self, end: End, raw: bytes) -> None:
        """Have a message arrive now, at the other side of a link, whatever the network's delay."""
        told = end.link.network.told
        if told is not None:
            told(self.device_id, end.peer_id, raw, self.scheduler.time_s)
        end.peer.arrive(prefixed(raw))

    def sometimes(self, share: float) -> bool:
        """By the world's own chance."""
        return self.yard.rng.random() < share


def prefixed(raw: bytes) -> bytes:
    """As it goes on a connection."""
    return len(raw).to_bytes(PREFIX_SIZE, "little") + raw


class Replayer(Hostile):
    """Says again what it said before, to whom it said it or to somebody else."""

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        self._kept: deque[bytes] = deque(maxlen=KEPT)

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:  # noqa: ARG002 - to whomever
        """See Hostile."""
        return self._and_again(raw)

    def _and_again(self, raw: bytes) -> Iterator[bytes]:
        yield raw
        self._kept.append(raw)
        if self.sometimes(0.5):
            yield self.yard.rng.choice(self._kept)

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node. Its own datagrams again, and to everybody those that were for one."""
        for raw in self._and_again(data):
            yield raw, source


class Garbler(Hostile):
    """Bytes that mean nothing, now and then: of the right length, or not."""

    def leaving(self, end: End, data: bytes) -> bytes:
        """See Node."""
        rng = self.yard.rng
        if not self.sometimes(0.2):
            return super().leaving(end, data)
        noise, spot = rng.randbytes(self.profile.size), rng.randrange(len(data))
        flipped = data[:spot] + bytes([data[spot] ^ 1 << rng.randrange(8)]) + data[spot + 1 :]
        return rng.choice((data + noise, data + prefixed(noise), data[:-7], flipped, data + bytes(PREFIX_SIZE)))

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node. Cut off, longer, and with one bit changed."""
        rng, spot = self.yard.rng, self.yard.rng.randrange(len(data))
        flipped = data[:spot] + bytes([data[spot] ^ 1 << rng.randrange(8)]) + data[spot + 1 :]
        yield data, source
        yield rng.choice((flipped, flipped, data[:-7], data + bytes(PREFIX_SIZE), rng.randbytes(len(data)))), source


class Impostor(Hostile):
    """Speaks in the name of another member, under its own key."""

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        others = self.others(self.role)
        if not others or self.sometimes(0.3):
            yield raw
        else:
            yield self.like(end, raw, device_id=self.yard.rng.choice(others))

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node. A battery says where another one is, a buyer asks for another one."""
        yield data, source
        for other in self.others(self.role)[:SHOUTED]:
            yield self.bent(data, device_id=other), source


class Shouter(Hostile):
    """Many times more datagrams than anybody takes, as if from many addresses: all under its own key, most of them from nowhere."""

    _shouts_s = 0.0

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node."""
        yield data, source
        if self.scheduler.time_s < self._shouts_s:
            return
        self._shouts_s, rng = self.scheduler.time_s + EBB_S, self.yard.rng
        said = Envelope(decode(data[:FRAME_SIZE]), lot_id=LotId(lot_of(data) or NO_LOT))
        for number in range(SHOUTS):
            nowhere = (f"10.9.{number // 200}.{number % 200 + 1}", 1 + rng.randrange(65_535))
            yield self.profile.stamp_to_group(said, self.now()), rng.choice((source, nowhere))


class Eavesdropper(Hostile):
    """Says what others have said, byte for byte, to whom they said it: on connections of its own, and on theirs."""

    listens = True

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        self._heard: dict[tuple[int, int], deque[bytes]] = {}
        self._caught: deque[bytes] = deque(maxlen=KEPT)

    def overheard(self, sender: int, receiver: int, raw: bytes) -> None:
        """See Hostile."""
        self._heard.setdefault((sender, receiver), deque(maxlen=KEPT)).append(raw)

    def caught(self, data: bytes) -> None:
        """See Node."""
        self._caught.append(data)

    def shouting(self, data: bytes, source: Address) -> Iterator[tuple[bytes, Address]]:
        """See Node. What came to it goes to where it speaks, as if it were its own."""
        yield data, source
        for _ in range(min(SHOUTED, len(self._caught))):
            yield self.yard.rng.choice(self._caught), source

    def instead(self, end: End, raw: bytes) -> Iterator[bytes]:
        """See Hostile."""
        pairs = [pair for pair in self._heard if pair[1] == end.peer_id]
        if not pairs or self.sometimes(0.3):
            yield raw
            return
        speaker, _ = pair = self.yard.rng.choice(pairs)
        theirs = next((each for each in end.peer.node.open_ends if each.up and each.peer_id == speaker), None)
        if end.peer.session.peer_id is None or theirs is None:
            yield from self._heard[pair]  # a session in their name, if it can be had by what they said before
        else:
            yield raw
            theirs.arrive(prefixed(self.yard.rng.choice(self._heard[pair])))
