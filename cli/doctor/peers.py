"""Asks batteries what time it is there: real Queries by UDP, to the group or to one address, plain or signed.

Several sockets ask at once, since a battery answers one address and port once a second, after a random delay of up to 50 ms:
the fastest answer of each battery tells its clock best (`etp.offset`). A Query by UDP moves nothing at a battery.
"""

import os
import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from cli.doctor.verdicts import PeerClock
from etp import messages
from etp.codes import Role
from etp.discovery_limits import Address
from etp.effects import Envelope
from etp.ids import Ids
from etp.io.clock import system_now
from etp.io.multicast import HOPS, SocketError, bind_unicast
from etp.offset import OffsetEstimator
from etp.profile import Plain, Refused
from etp.registry import Registry
from etp.signed import AnyProfile, Identity, Signed
from etp.timing import Timing
from etp.units import DeviceId
from runtime.io.journal import Journal, JournalError, JournalInUse
from runtime.io.key_file import KeyFileError, load_key
from runtime.io.metrics_file import read_metrics
from runtime.io.registry_file import RegistryFileError, load_registry

SOCKETS: Final = 8
"""Answers of each battery: of eight delays of 0 to 50 ms the shortest is 6 ms on average, an error of 3."""
PATIENCE_S: Final = 1.0
"""How long answers are waited for, s (`etp.offset.MAX_ROUND_TRIP_MS`)."""
QUIET_S: Final = 0.25
"""After the last new answer nothing more is waited for, s: five times a battery's longest delay."""
MOST: Final = 256
"""Batteries that are looked at."""
ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - to send from, by whatever way leads there


class PeersError(Exception):
    """Batteries cannot be asked: why, and what would be right."""


@dataclass(frozen=True, slots=True)
class Asker:
    """In whose name batteries are asked."""

    profile: AnyProfile
    device_id: DeviceId
    close: Callable[[], None]


class Clocks(NamedTuple):
    """What a running node has measured itself."""

    clocks: tuple[PeerClock, ...]
    told_by: str


def plain_asker() -> Asker:
    """Nobody in particular: in `plain` a Query needs no name."""
    device_id = DeviceId(int.from_bytes(os.urandom(8), "little") >> 1)
    return Asker(Plain(Ids()), device_id, lambda: None)


def signed_asker(registry_file: Path, key_file: Path, state_dir: Path, group: Address) -> Asker | Clocks:
    """The aggregator whose key this is; or, where it runs, what it measured itself.

    A key's records are counted under a boot that its journal keeps: asking beside the running node would make every battery
    refuse what the node says afterwards. So its journal is taken for the while. Raises PeersError.
    """
    try:
        registry, key = load_registry(registry_file), load_key(key_file)
    except (RegistryFileError, KeyFileError) as error:
        raise PeersError(str(error)) from error
    member = registry.of_key(key.public)
    if member is None:
        raise PeersError(f"the key in {key_file} is nobody's in {registry_file}; add it with `etp registry add`")
    if member.role is not Role.AGGREGATOR:
        raise PeersError(
            f"device {member.device_id} is a battery, and batteries answer aggregators only; ask with an aggregator's key"
        )
    try:
        journal = Journal.open(state_dir, role=Role.AGGREGATOR.value, device_id=member.device_id)
    except JournalInUse:
        return Clocks(measured_by(read_metrics(state_dir)), f"aggregator {member.device_id}, which runs here,")
    except JournalError as error:
        raise PeersError(str(error)) from error
    return _signed(registry, Identity(member.device_id, member.role, key, 0), journal, group)


def _signed(registry: Registry, who: Identity, journal: Journal, group: Address) -> Asker:
    now = system_now()
    try:
        boot = journal.begin_boot(now.wall_us // 1_000_000)
    except JournalError as error:
        journal.close()
        raise PeersError(str(error)) from error
    identity = Identity(who.device_id, who.role, who.key, boot)
    ids = Ids(journal.mark)
    ids.next(now.wall_us)
    mark = ids.mark_due()
    if mark is not None:
        journal.write((), mark=mark)  # the node begins above what is signed here
    profile = Signed(identity, registry, ids, group=group, timing=Timing(), started=now)
    return Asker(profile, who.device_id, journal.close)


def measured_by(metrics: Mapping[str, Any]) -> tuple[PeerClock, ...]:
    """The offsets in an aggregator's metrics file."""
    node = metrics.get("node")
    entries = node.get("batteries") if isinstance(node, Mapping) else None
    return tuple(
        PeerClock(int(entry["device_id"]), float(entry["clock_offset_ms"]), 25.0)
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, Mapping) and entry.get("clock_offset_ms") is not None
    )


class _Line:
    """One socket that asks, and what came back on it."""

    def __init__(self, bound: socket.socket) -> None:
        self.socket = bound
        self.estimators: dict[int, OffsetEstimator] = {}


def ask_clocks(asker: Asker, to: Address, interface: str, *, group: bool) -> list[PeerClock]:
    """The clocks of the batteries that answer a Query to an address; `group`: it is multicast. Raises PeersError."""
    source = interface if group or to[0].startswith("127.") else ANY_ADDRESS
    lines: list[_Line] = []
    try:
        for _ in range(SOCKETS):
            lines.append(_Line(bind_unicast(source)))
            if group:
                bound = lines[-1].socket
                bound.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
                bound.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
        return _answers(asker, to, lines)
    except (SocketError, OSError) as error:
        raise PeersError(f"{to[0]}:{to[1]} cannot be asked: {error}") from error
    finally:
        for line in lines:
            line.socket.close()


def _answers(asker: Asker, to: Address, lines: list[_Line]) -> list[PeerClock]:
    query = messages.query(asker.device_id)
    asked = []
    for line in lines:
        now = system_now()
        raw = asker.profile.stamp_to_group(Envelope(query), now)
        line.socket.sendto(raw, to)
        asked.append((now, asker.profile.ids.last))
    best: dict[int, PeerClock] = {}
    began = heard = system_now().monotonic_s
    while True:
        now_s = system_now().monotonic_s
        left = min(began + PATIENCE_S, heard + QUIET_S if best else began + PATIENCE_S) - now_s
        readable = select.select([line.socket for line in lines], [], [], left)[0] if left > 0 else []
        if not readable:
            return sorted(best.values())
        for number, line in enumerate(lines):
            if line.socket in readable and _take(asker, line, asked[number], best):
                heard = system_now().monotonic_s


def _take(asker: Asker, line: _Line, asked: tuple[Any, int], best: dict[int, PeerClock]) -> bool:
    """Read one datagram; True: it is an answer that says what time it is."""
    try:
        raw = line.socket.recv(2048)
    except OSError:  # nothing listens at the port: the silence says it
        return False
    now = system_now()
    reading = asker.profile.read_datagram(raw, now) if len(raw) == asker.profile.size else None
    if reading is None or isinstance(reading, Refused):
        return False
    device_id = reading.frame.device_id
    estimator = line.estimators.setdefault(device_id, OffsetEstimator())
    estimator.asked(asked[0], message_id=asked[1])
    sample = estimator.answered(reading.frame, now)
    if sample is None or (device_id not in best and len(best) >= MOST):
        return False
    found = PeerClock(device_id, sample.offset_ms, sample.rtt_ms / 2)
    if device_id not in best or found.error_ms < best[device_id].error_ms:
        best[device_id] = found
    return True
