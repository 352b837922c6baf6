"""Hosts of a network that the soak makes: a namespace each, joined by a bridge; a host is cut off by taking its cable away.

Everything happens in a network namespace and a mount namespace of the soak's own, which the kernel removes with its last process: no rule,
address or interface of the machine is touched. Without root the same is done in a user namespace.
"""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NETWORK: Final = "10.213.78"
BRIDGE: Final = f"{NETWORK}.1"
"""Where the machine of the soak itself is."""
NEEDED: Final = ("ip", "unshare", "setpriv")
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_INSIDE: Final = "ETP_SOAK_INSIDE"


class HostsError(Exception):
    """The namespaces cannot be made: why, and what would help."""


def enter() -> None:
    """Begin this program anew inside namespaces of its own, unless it is there. Raises HostsError."""
    if os.environ.pop(_INSIDE, None):
        _run("mount", "-t", "tmpfs", "tmpfs", "/run")  # `ip netns` keeps its names there
        Path("/run/netns").mkdir()
        _run("ip", "link", "set", "lo", "up")
        return
    for name in NEEDED:
        if not any(Path(folder, name).exists() for folder in os.get_exec_path()):
            raise HostsError(f"{name} is not installed; Debian has it in iproute2 (ip) and util-linux")
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    made = ("unshare", *user, "--net", "--mount")
    if subprocess.run([*made, "true"], check=False, capture_output=True).returncode:  # noqa: S603 - our own words
        raise HostsError("network namespaces are not allowed here; run it as root, or where user namespaces are")
    os.environ[_INSIDE] = "yes"
    os.execvp(made[0], [*made, sys.executable, "-m", "benches.soak", *sys.argv[1:]])  # noqa: S606 - itself


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603 - our own words
    if done.returncode:
        raise HostsError(f"{' '.join(words)}: {done.stderr.strip()}")


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace with one address."""

    name: str
    address: str
    cable: str
    """Its end at the bridge."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command that runs there, and ends with the soak."""
        return ("setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Nothing comes or goes any more; nobody is told."""
        _run("ip", "link", "set", self.cable, "down")

    def mend(self) -> None:
        """As before."""
        _run("ip", "link", "set", self.cable, "up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets made in this block belong to the host, whoever uses them later."""
        with Path("/proc/thread-self/ns/net").open() as here, Path("/run/netns", self.name).open() as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(here.fileno())

    def socket(self) -> socket.socket:
        """A TCP socket of the host, not blocking."""
        with self.inside():
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise HostsError(f"setns: {os.strerror(ctypes.get_errno())}")


def build(names: Sequence[str]) -> list[Host]:
    """The bridge, and a host of each name on it. Raises HostsError."""
    # No snooping: the bridge floods multicast, as a home's switch does.
    _run("ip", "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
    _run("ip", "address", "add", f"{BRIDGE}/24", "dev", "bridge")
    _run("ip", "link", "set", "bridge", "up")
    hosts = [Host(name, f"{NETWORK}.{number}", f"cable{number}") for number, name in enumerate(names, 2)]
    for host in hosts:
        _run("ip", "netns", "add", host.name)
        _run("ip", "link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        _run("ip", "link", "set", host.cable, "master", "bridge", "up")
        there = ("ip", "-n", host.name)
        _run(*there, "address", "add", f"{host.address}/24", "dev", "eth0")
        _run(*there, "link", "set", "lo", "up")
        _run(*there, "link", "set", "eth0", "up")
    return hosts
