"""Measures the network: whether multicast reaches this machine itself, whether ports are free, whether a gateway answers."""

import email.utils
import os
import select
import socket
import time
from typing import Final

import httpx

from cli.doctor.verdicts import Echo, GatewayAnswer
from etp.discovery_limits import Address
from etp.io.multicast import HOPS, SocketError, bind_pair, bind_unicast, join_group

DATAGRAMS: Final = 10
ECHO_S: Final = 1.0
"""A datagram that is not back within this is lost, s: between two sockets of one machine it takes microseconds."""
NONCE: Final = 16
"""Random bytes of a datagram. Nodes drop it unread, for its length."""
GATEWAY_S: Final = 5.0
ASKED: Final = 4
"""Times that a gateway is asked its time; the fastest answer says it best."""
DATE_MS: Final = 500.0
"""An HTTP date says whole seconds: it is off by half of one at most, with the half added."""


def echo(group: Address, interface: str) -> Echo:
    """Send to the group through the interface, and hear it with another socket that joined there."""
    name = f"{group[0]}:{group[1]}"
    try:
        member = join_group(group, interface)
    except SocketError as error:
        return Echo(name, interface, DATAGRAMS, 0, 0.0, str(error))
    with member:
        try:
            with bind_unicast(interface) as sender:
                _send_through(sender, interface)
                return _exchange(member, sender, group, interface)
        except (SocketError, OSError) as error:
            return Echo(name, interface, DATAGRAMS, 0, 0.0, f"cannot send to {name} through {interface}: {error}")


def _send_through(sender: socket.socket, interface: str) -> None:
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)


def _exchange(member: socket.socket, sender: socket.socket, group: Address, interface: str) -> Echo:
    sent: dict[bytes, float] = {}
    for _ in range(DATAGRAMS):
        nonce = os.urandom(NONCE)
        sent[nonce] = time.monotonic()
        sender.sendto(nonce, group)
    times: list[float] = []
    until = time.monotonic() + ECHO_S
    while len(times) < DATAGRAMS and (left := until - time.monotonic()) > 0:
        if not select.select([member], [], [], left)[0]:
            break
        at = sent.pop(member.recv(2048), None)  # others may speak to the group, too
        if at is not None:
            times.append((time.monotonic() - at) * 1000)
    return Echo(f"{group[0]}:{group[1]}", interface, DATAGRAMS, len(times), max(times, default=0.0))


def try_ports(interface: str) -> str | None:
    """Why TCP and UDP cannot be bound on one port of an address; None: they can."""
    try:
        for bound in bind_pair(interface, 0):
            bound.close()
    except SocketError as error:
        return str(error)
    return None


def ask_gateway(base: str) -> GatewayAnswer:
    """Ask a gateway whether it is well, and what time it is there."""
    best: GatewayAnswer | None = None
    try:
        with httpx.Client(base_url=base, timeout=GATEWAY_S, trust_env=False) as client:
            for _ in range(ASKED):
                wall_ms, began = time.time() * 1000, time.monotonic()
                answer = client.get("/healthz")
                found = _timed(answer, wall_ms, (time.monotonic() - began) * 1000)
                if best is None or found.error_ms < best.error_ms:
                    best = found
    except httpx.HTTPError as error:
        return GatewayAnswer(None, str(error) or type(error).__name__)
    assert best is not None
    return best


def _timed(answer: httpx.Response, asked_ms: float, rtt_ms: float) -> GatewayAnswer:
    """The offset from one answer, half way between asking and hearing it."""
    ours_ms = asked_ms + rtt_ms / 2
    try:
        told = answer.json()
        theirs_us = told.get("time_us") if isinstance(told, dict) else None
    except ValueError:
        theirs_us = None
    if isinstance(theirs_us, int) and not isinstance(theirs_us, bool):
        return GatewayAnswer(answer.status_code, "", theirs_us / 1000 - ours_ms, rtt_ms / 2)
    try:
        date = email.utils.parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError, TypeError):
        return GatewayAnswer(answer.status_code)
    # The date may be a second old where a server makes it once a second: half of that is added to the error.
    theirs_ms = date.timestamp() * 1000 + DATE_MS
    return GatewayAnswer(answer.status_code, "", theirs_ms - ours_ms, rtt_ms / 2 + 2 * DATE_MS)
