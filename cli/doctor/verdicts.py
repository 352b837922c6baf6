"""What a measurement means for a node: fine, worth a look, or in the way; and in plain words what to change. Pure.

Every limit is the protocol's or argued here. `None` measured: it could not be, which is said and is not held against anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from etp.limits import Limits
from etp.timing import Timing

MIB: Final = 1 << 20
GIB: Final = 1 << 30
FILES_BESIDE_SESSIONS: Final = 64
"""As the daemons reckon: journal, sockets, registry and logs beside one file a session."""
FEWEST_FILES: Final = 128
"""With fewer than these not even one host's 32 sessions and a journal have room."""
COMFORTABLE_COMMIT_MS: Final = 100.0
"""A commit within this leaves an Accept four fifths of its 500 ms for the way."""
LOST_DATAGRAMS: Final = 0.2
"""More than a fifth lost between two sockets of one machine is no accident."""
LOW_DISK: Final = GIB
"""A busy day of a battery's journal is below 100 MiB, so that much warns ten days ahead."""
LEAST_DISK: Final = 100 * MIB
LOW_MEMORY: Final = 256 * MIB
LEAST_MEMORY: Final = 96 * MIB
"""A daemon takes about 60 MiB."""
COARSE_CLOCK_S: Final = 0.001
USELESS_CLOCK_S: Final = 0.02
"""A deadline of 200 ms that is read in steps of 20 ms is off by a tenth."""
LEAST_PYTHON: Final = (3, 11)
US_PER_MS: Final = 1000
MEMORY_CARD: Final = "mmcblk"
VOLATILE: Final = frozenset({"tmpfs", "ramfs", "overlay"})
"""File systems that forget when the machine, or the container, is restarted."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"
    """Not measured: not asked for, or not possible here."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check."""

    check: str
    state: State
    found: str
    """What was measured, with units."""
    advice: str = ""
    """What to change; empty where there is nothing."""


def worst_of(verdicts: Sequence[Verdict]) -> int:
    """The exit status: 1 if something is bad, else 0."""
    return int(any(verdict.state is State.BAD for verdict in verdicts))


def skipped(check: str, why: str, advice: str = "") -> Verdict:
    """A check that did not take place."""
    return Verdict(check, State.SKIPPED, why, advice)


# -- network


@dataclass(frozen=True, slots=True)
class Echo:
    """Datagrams sent to a group by one socket of this machine and heard by another."""

    group: str
    """ADDRESS:PORT"""
    interface: str
    sent: int
    heard: int
    slowest_ms: float
    error: str | None = None
    """Why a socket could not be opened or could not send; None: it could."""


def judge_multicast(echo: Echo) -> Verdict:
    """Whether batteries and buyers on this interface can find each other."""
    check, host = "multicast", echo.group.partition(":")[0]
    if echo.error is not None:
        advice = (
            "give --interface an address of this machine (`ip -4 address` lists them) on a network that carries multicast"
            " (`ip link` says MULTICAST), with a route for it: `ip route add 239.0.0.0/8 dev DEVICE`; or name the batteries with --peer"
        )
        return Verdict(check, State.BAD, echo.error, advice)
    found = f"{echo.heard} of {echo.sent} datagrams to {echo.group} came back on {echo.interface}"
    if echo.heard < echo.sent * (1 - LOST_DATAGRAMS):
        port = echo.group.rpartition(":")[2]
        advice = (
            f"a firewall or the network drops what is sent to {host}. Let it in: `nft add rule inet filter input ip daddr"
            f" {host} udp dport {port} accept`, or `ufw allow in proto udp to {host} port {port}`; where that cannot be,"
            " name the batteries with --peer HOST:PORT"
        )
        return Verdict(check, State.BAD, found, advice)
    found += f", the slowest after {echo.slowest_ms:.1f} ms"
    if echo.heard < echo.sent:
        return Verdict(
            check, State.WARNING, found, "datagrams are lost: look at the machine's load and its UDP buffers"
        )
    if echo.interface.startswith("127."):
        return Verdict(check, State.OK, found, "here only nodes of this machine are found; others need --interface")
    return Verdict(check, State.OK, found)


def judge_ports(address: str, error: str | None) -> Verdict:
    """Whether a battery can listen for TCP and UDP on one port number."""
    if error is not None:
        advice = "give --interface an address of this machine; end what holds the ports (`ss -lntu`)"
        return Verdict("ports", State.BAD, f"{address}: {error}", advice)
    return Verdict("ports", State.OK, f"TCP and UDP on one port of {address}")


# -- clock


@dataclass(frozen=True, slots=True)
class ClockSource:
    """What the system says of its clock."""

    synchronised: bool | None
    """None: nothing here can tell."""
    told_by: str
    estimated_error_ms: float | None = None


def judge_clock(source: ClockSource, timing: Timing) -> Verdict:
    """Whether something keeps this machine's clock right."""
    check = "clock"
    advice = "run a time service: `timedatectl set-ntp true`, or install chrony; then look again in some minutes"
    if source.synchronised is None:
        return skipped(check, f"{source.told_by}; the checks of peers tell how far it is off")
    if not source.synchronised:
        return Verdict(check, State.WARNING, f"not synchronised, says {source.told_by}", advice)
    error_ms = source.estimated_error_ms
    if error_ms is None:
        return Verdict(check, State.OK, f"synchronised, says {source.told_by}")
    found = f"synchronised, says {source.told_by}; off by {error_ms:.1f} ms at most by its own estimate"
    state = _state_of_offset(error_ms, timing)
    return Verdict(check, state, found, "" if state is State.OK else "use a nearer time server")


class PeerClock(NamedTuple):
    """A battery's clock against ours."""

    device_id: int
    offset_ms: float
    """Theirs minus ours."""
    error_ms: float
    """The truth lies within this of it."""


def _state_of_offset(offset_ms: float, timing: Timing, error_ms: float = 0.0) -> State:
    """By what is certain of an offset: nobody is blamed for what may be the way's own delay."""
    certain_ms = abs(offset_ms) - error_ms
    if certain_ms > timing.offset_limit_ms:
        return State.BAD
    return State.WARNING if certain_ms > timing.skew_allowance_ms else State.OK


def judge_peer_clocks(where: str, clocks: Sequence[PeerClock], *, named: bool, timing: Timing) -> Verdict:
    """Whether this clock agrees with the batteries'. `named`: it was asked for by --peer, so that silence is bad."""
    check = f"clock of {where}"
    if not clocks:
        why = "nobody answered a Query"
        if not named:
            advice = "where batteries should be there: check multicast above, the profile, and this clock (3 s off, and they do not answer)"
            return skipped(check, why, advice)
        advice = (
            "is it running there, with this profile and this key in its registry? A firewall must let UDP in on that port;"
            " a clock that is 3 s off gets no answer either"
        )
        return Verdict(check, State.BAD, why, advice)
    furthest = max(clocks, key=lambda clock: abs(clock.offset_ms))
    states = [_state_of_offset(clock.offset_ms, timing, clock.error_ms) for clock in clocks]
    off = sum(state is not State.OK for state in states)
    against = f"{_ahead(furthest.offset_ms)} battery {furthest.device_id}'s (+-{furthest.error_ms:.0f} ms)"
    found = f"{len(clocks)} answered; this clock is {against}"
    if len(clocks) > 1:
        found += ", and nearer to the others'"
    if not off:
        return Verdict(check, State.OK, found)
    limit = f"messages older than allowed by {timing.skew_allowance_ms} ms are late, and beyond {timing.offset_limit_ms} ms nobody bids"
    ours = "this machine's clock is off" if off * 2 > len(clocks) and len(clocks) > 1 else "one of the clocks is off"
    advice = f"{ours}: {limit}. Run a time service on both (`timedatectl set-ntp true`)"
    return Verdict(check, State.BAD if State.BAD in states else State.WARNING, found, advice)


def _ahead(offset_ms: float) -> str:
    return f"{abs(offset_ms):.0f} ms {'behind' if offset_ms > 0 else 'ahead of'}"


def judge_ticks(resolution_s: float) -> Verdict:
    """Whether deadlines can be read off the monotonic clock."""
    found = f"{resolution_s * 1e6:,.3g} us"
    if resolution_s > USELESS_CLOCK_S:
        return Verdict("monotonic clock", State.BAD, found, "deadlines of 200 ms need finer steps; use another machine")
    if resolution_s > COARSE_CLOCK_S:
        return Verdict("monotonic clock", State.WARNING, found, "reply times are shown no finer than this")
    return Verdict("monotonic clock", State.OK, found)


# -- disk


@dataclass(frozen=True, slots=True)
class Commits:
    """Journal commits, one after the other, as a quiet node makes them."""

    times_ms: tuple[float, ...]
    filesystem: str = ""
    device: str = ""


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all do not exceed (nearest rank). Raises ValueError without values."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def judge_commits(commits: Commits, timing: Timing) -> Verdict:
    """Whether promises become durable in time, and stay so."""
    check, limit_ms = "journal commits", float(timing.accept_commit_limit_ms)
    middle, high, worst = (percentile(commits.times_ms, percent) for percent in (50, 99, 100))
    found = f"p50 {middle:.1f} ms, p99 {high:.1f} ms, worst {worst:.1f} ms of {len(commits.times_ms)}, limit {limit_ms:.0f} ms"
    if commits.filesystem:
        found += f" ({commits.filesystem})"
    card = (
        " A memory card stalls when it cleans up: put --state-dir on an SSD over USB."
        if MEMORY_CARD in commits.device
        else ""
    )
    if high > limit_ms:
        advice = f"an Accept whose commit takes over {limit_ms:.0f} ms is not sent, so lots are lost: use a faster disk.{card}"
        return Verdict(check, State.BAD, found, advice)
    if commits.filesystem in VOLATILE:
        advice = f"{commits.filesystem} forgets promises when the machine is restarted or the container replaced: use a disk or a volume"
        return Verdict(check, State.WARNING, found, advice)
    if high > COMFORTABLE_COMMIT_MS or worst > limit_ms:
        advice = f"comfortable is p99 below {COMFORTABLE_COMMIT_MS:.0f} ms: use a faster disk, or leave this one to the node.{card}"
        return Verdict(check, State.WARNING, found, advice)
    return Verdict(check, State.OK, found, card.strip())


def judge_space(free: int, where: str) -> Verdict:
    """Whether the journal has room to grow."""
    found = f"{_size(free)} free in {where}"
    if free < LEAST_DISK:
        return Verdict("disk space", State.BAD, found, f"free at least {_size(LOW_DISK)}: without room nothing is sold")
    if free < LOW_DISK:
        return Verdict("disk space", State.WARNING, found, f"free some: {_size(LOW_DISK)} last for weeks")
    return Verdict("disk space", State.OK, found)


def judge_journal(where: str, rows: int, broken_at: int | None, error: str | None) -> Verdict:
    """Whether a journal is whole."""
    if error is not None:
        return Verdict(
            "journal", State.BAD, error, "restore the directory from a copy that can be read; keep this one as evidence"
        )
    if broken_at is not None:
        found = f"row {broken_at} of {where} does not follow from those before it"
        return Verdict(
            "journal", State.BAD, found, "the file was changed by another hand: keep it as evidence, restore a copy"
        )
    return Verdict("journal", State.OK, f"{rows:,} rows in {where}, each follows from those before it")


# -- machine


def judge_files(hard_limit: int | None) -> Verdict:
    """Whether all sessions of a battery can be open; None: without limit."""
    needed = Limits().sessions + FILES_BESIDE_SESSIONS
    if hard_limit is None or hard_limit >= needed:
        shown = "no limit" if hard_limit is None else f"{hard_limit:,}"
        return Verdict("open files", State.OK, f"{shown}; a node needs {needed:,}")
    advice = (
        f"raise it: `LimitNOFILE={needed}` in the node's systemd unit, or `ulimit -Hn {needed}` before it is started"
    )
    state = State.BAD if hard_limit < FEWEST_FILES else State.WARNING
    return Verdict(
        "open files", state, f"{hard_limit:,} at most; a node with all its sessions needs {needed:,}", advice
    )


def judge_memory(available: int | None) -> Verdict:
    """Whether a node fits."""
    if available is None:
        return skipped("memory", "this system does not say")
    found = f"{_size(available)} available"
    if available < LEAST_MEMORY:
        return Verdict("memory", State.BAD, found, f"a node takes about 60 MiB: free at least {_size(LEAST_MEMORY)}")
    if available < LOW_MEMORY:
        return Verdict("memory", State.WARNING, found, "enough for one node, and little else")
    return Verdict("memory", State.OK, found)


def judge_python(version: tuple[int, ...], uvloop: str | None) -> Verdict:
    """Whether the interpreter is new enough, and has the fast loop; `uvloop`: its version, None: it is not there."""
    shown = f"Python {'.'.join(map(str, version))}, uvloop {uvloop or 'missing'}"
    if version[:2] < LEAST_PYTHON:
        return Verdict("software", State.BAD, shown, f"Python {'.'.join(map(str, LEAST_PYTHON))} or newer is needed")
    if uvloop is None:
        return Verdict("software", State.WARNING, shown, "install uvloop: the node answers about twice as fast with it")
    return Verdict("software", State.OK, shown)


# -- gateway


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What a gateway said to `/healthz`."""

    status: int | None
    """None: nothing answered."""
    error: str = ""
    offset_ms: float | None = None
    """Its clock minus ours."""
    error_ms: float = 0.0


def judge_gateway(url: str, answer: GatewayAnswer, timing: Timing) -> Verdict:
    """Whether nodes here can reach their gateway, and share its time."""
    check = "gateway"
    if answer.status is None:
        advice = "is it running, and does a firewall let this machine through? A gateway listens beyond loopback only if told to"
        return Verdict(check, State.BAD, f"{url}: {answer.error}", advice)
    if answer.status != 200:  # noqa: PLR2004 - OK
        advice = "give the URL that its ready line says (`http`); a proxy in front must pass /healthz on"
        return Verdict(check, State.BAD, f"{url} answers {answer.status} to /healthz", advice)
    if answer.offset_ms is None:
        return Verdict(check, State.OK, f"{url} answers; it does not tell its time")
    found = f"{url} answers; this clock is {_ahead(answer.offset_ms)} its own (+-{answer.error_ms:.0f} ms)"
    state = _state_of_offset(answer.offset_ms, timing, answer.error_ms)
    return Verdict(
        check, state, found, "" if state is State.OK else "run a time service on both (`timedatectl set-ntp true`)"
    )


def _size(count: int) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / MIB:,.0f} MiB"
