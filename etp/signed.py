"""The `signed` profile: records. Cheap checks first, then the signature, under a budget (docs/security.md).

A record counts only if its device is in the registry, is not revoked, has the peer's role, speaks to us, and its counter is new;
all that is looked at before the 60 µs that a signature takes. One object a node: what came by UDP does not come again by TCP.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias

from etp.bucket import Bucket
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role
from etp.effects import Envelope
from etp.frame import FRAME_SIZE, LAYOUT, Frame, decode, invalid
from etp.ids import Ids
from etp.profile import AGAIN, BUDGET, EARLY, Plain, Reading, Received, Refused
from etp.record import RECORD_SIZE, Trailer, Verify, fault, group_recipient, is_record, is_signed_by, seal, trailer
from etp.registry import Member, Registry
from etp.timing import Timing, is_from_future, is_late
from etp.units import DeviceId
from etp.window import Window

SEQ_BITS: Final = 32
NOBODY: Final = bytes(32)
"""The recipient of a farewell to a peer that never said who it is."""
DATAGRAMS_PER_S: Final = 400
"""Signatures verified per second for what comes by UDP: 400 × 60 µs = 2.4 % of a core. A forged datagram costs its sender nothing."""
FIRSTS_PER_S: Final = 800
"""The same for records that would begin a session: each costs its sender a connection."""
AT_ONCE: Final = 400
"""25 ms of verifications, which nobody's answer waits for in vain; who is refused for it dials again."""
REPEATABLE: Final = frozenset(
    {
        MessageType.BID,
        MessageType.CONFIRM,
        MessageType.RESPONSE,
        MessageType.ACCEPT,
        MessageType.REJECT,
        MessageType.TERMINATE,
    }
)
"""Types that come again byte for byte: Bid and Confirm of unknown fate, and the stored answers to them (design §4)."""
_WHO: Final = RejectCode.NOT_AUTHORISED


class Signer(Protocol):
    """What signs for a device."""

    @property
    def public(self) -> bytes:
        """The 32 bytes by which the registry knows it."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a message's signature."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are: id, role, key; and the boot under which this process counts, never used before."""

    device_id: DeviceId
    role: Role
    key: Signer
    boot: int


class Signed:
    """See the module. `registry` may be replaced at any time by a newer one."""

    name: Final = "signed"
    size: Final = RECORD_SIZE

    def __init__(
        self,
        identity: Identity,
        registry: Registry,
        ids: Ids,
        *,
        group: tuple[str, int],
        timing: Timing,
        started: Now,
        verify: Verify = is_signed_by,
    ) -> None:
        """`verify`: how signatures are judged; simulations may have a cheaper one."""
        self._verify = verify
        self.ids, self.registry, self.identity = ids, registry, identity
        self._timing, self._started_us = timing, started.wall_us
        self.group = group_recipient(group)
        self._network = registry.network.network_id
        self._sign = identity.key.sign
        self._counter = identity.boot << SEQ_BITS
        self._windows: dict[int, Window] = {}
        self._us = identity.key.public
        self._welcome: dict[int, Member] = {}
        """Members that may speak to us whenever they do: looked at once, until the registry has another entry for them."""
        self._budgets = {
            _Budget.DATAGRAMS: Bucket(rate=DATAGRAMS_PER_S, burst=AT_ONCE, now_s=started.monotonic_s),
            _Budget.FIRSTS: Bucket(rate=FIRSTS_PER_S, burst=AT_ONCE, now_s=started.monotonic_s),
        }

    @property
    def network_id(self) -> bytes:
        """The market that all signatures are for."""
        return self._network

    def key_of(self, device_id: int) -> bytes | None:
        """A member's public key."""
        member = self.registry.get(device_id)
        return member.key if member is not None else None

    # -- out

    def stamp(self, envelope: Envelope, to: DeviceId | None, now: Now) -> bytes:
        """Give an envelope its bytes, once, with an id of now, addressed to a member's key."""
        recipient = self.key_of(to) if to is not None else None
        return self._seal(envelope, recipient or NOBODY, now)

    def stamp_to_group(self, envelope: Envelope, now: Now) -> bytes:
        """The same for what goes to the multicast group."""
        return self._seal(envelope, self.group, now)

    def _seal(self, envelope: Envelope, recipient: bytes, now: Now) -> bytes:
        self._counter += 1
        frame = envelope.frame
        envelope.raw = seal(
            frame,
            LAYOUT.pack(frame[0], self.ids.next(now.wall_us), *frame[2:]),
            counter=self._counter,
            lot_id=envelope.lot_id,
            recipient=recipient,
            network=self._network,
            sign=self._sign,
        )
        return envelope.raw

    # -- in

    def read(self, raw: bytes, peer: DeviceId | None, now: Now) -> Reading:
        """Judge a record of a connection; only a new one of now can begin it, so that nobody takes a session over by replay."""
        return self._read(raw, peer, _ON_TCP if peer is not None else _FIRST, now)

    def read_datagram(self, raw: bytes, now: Now) -> Reading:
        """Judge a record that came by UDP, to us or to the group. Each counts once."""
        return self._read(raw, None, _ON_UDP, now)

    def _read(self, raw: bytes, peer: DeviceId | None, path: "_Path", now: Now) -> Reading:
        if not is_record(raw):
            return Refused("record", "no record: length, magic, version or algorithm", None, RejectCode.INVALID, raw)
        frame, said = decode(raw[:FRAME_SIZE]), trailer(raw)
        if peer is not None and frame.device_id != peer:
            return Refused("device", "another device_id than the session's", frame, _WHO, raw)
        member = self.registry.get(frame.device_id)
        if member is None:
            return Refused("stranger", f"device {frame.device_id} is not in the registry", frame, _WHO, raw)
        window = self._windows.get(member.device_id)
        fresh = window is None or window.is_new(said.counter)
        if path.from_group and window is not None and window.is_early(said.counter):
            return Refused(EARLY, "a datagram from before its sender was heard", frame, _WHO, raw)
        plain_sailing = path is _ON_TCP and fresh and said.recipient == self._us  # what nearly always comes
        if not plain_sailing or self._welcome.get(member.device_id) is not member:
            against = self._standing(member, frame, now) or self._path(path, frame, said, now, fresh=fresh)
            if against is not None:
                return Refused(*against, frame, _WHO, raw)
        reason = invalid(frame) or fault(frame, said)
        if not self._verify(member.key, self._network, raw):
            why = f"its signature is not of device {member.device_id} for this network"
            return Refused("signature", why, frame, _WHO, raw)
        if reason is not None:
            return Refused("invalid", reason, frame, RejectCode.INVALID, raw)
        if fresh:
            if window is None:
                window = self._windows[member.device_id] = Window()
            window.take(said.counter)
        return Received(frame, raw, fresh)

    def _standing(self, member: Member, frame: Frame, now: Now) -> tuple[str, str] | None:
        """Whether the registry lets this device speak to us."""
        if member.device_id == self.identity.device_id:
            return "own", "our own device_id"
        if member.role is self.identity.role:
            return "role", f"device {member.device_id} has our own role, {member.role.value}"
        if member.profile != self.name:
            return "profile", f"device {member.device_id} is registered for the profile {member.profile}"
        if member.is_revoked(max(now.wall_us, frame.message_id)):  # the chain judges by the message's time
            return "revoked", f"device {member.device_id} was revoked"
        if member.revoked_us is None:
            self._welcome[member.device_id] = member
        return None

    def _path(self, path: "_Path", frame: Frame, said: Trailer, now: Now, *, fresh: bool) -> tuple[str, str] | None:
        """Whether it may come this way: addressed to us or the group, new where it must be, within the budget."""
        if said.recipient == NOBODY:
            return "farewell", f"a {_name(frame)} to whoever dialled: the peer does not know yet who we are"
        to_us = said.recipient == self._us
        if not to_us and not (path.from_group and said.recipient == self.group):
            return "recipient", f"device {frame.device_id} said it to another node"
        if not fresh and path.first and frame.message_type == MessageType.ACCEPT:
            return AGAIN, "an Accept that is said again first: what follows is new"
        if not fresh and (path.fresh_only or frame.message_type not in REPEATABLE):
            return "replay", f"a {_name(frame)} with a counter that came before, or is too old to tell"
        if path.first and not self._is_of_now(frame, now):
            age_s = (now.wall_us - frame.message_id) / 1e6
            return "late", f"a {_name(frame)} stamped {age_s:.1f} s ago by our clock cannot begin a session"
        if path.budget is not None and not self._budgets[path.budget].take(now.monotonic_s):
            return BUDGET, "too many signatures to verify for senders without a session"
        return None

    def _is_of_now(self, frame: Frame, now: Now) -> bool:
        kind, stamp_us = frame.message_type, frame.message_id
        if kind not in set(MessageType) or stamp_us < self._started_us:
            return False
        # No further ahead than a clock may be to trade: what was said before our restart must not look newer than it.
        skew, ahead = self._timing.skew_allowance_ms, self._timing.offset_limit_ms
        late = is_late(kind, stamp_us, now.wall_us, skew_allowance_ms=skew)
        return not late and not is_from_future(stamp_us, now.wall_us, future_limit_ms=ahead)


class _Budget(Enum):
    """Who has no session has a share of our time, and none of each other's."""

    DATAGRAMS = 1
    FIRSTS = 2


AnyProfile: TypeAlias = Plain | Signed


class _Path(NamedTuple):
    """How a record came, and so what is asked of it."""

    first: bool = False
    """It would begin a session."""
    fresh_only: bool = False
    from_group: bool = False
    budget: "_Budget | None" = None
    """Where its sender has no session: whose share a verification is."""


_ON_TCP: Final = _Path()
_FIRST: Final = _Path(first=True, fresh_only=True, budget=_Budget.FIRSTS)
_ON_UDP: Final = _Path(fresh_only=True, from_group=True, budget=_Budget.DATAGRAMS)


def _name(frame: Frame) -> str:
    return MessageType(frame.message_type).name if frame.message_type in set(MessageType) else "frame"
