"""Whether the daemon beside it serves: asks it over the wire, as a peer would. Status 0: it answered; 1: it did not.

`bess HOST:PORT`: a Query over TCP must get this battery's Response.
`aggregator HOST GROUP:PORT DEVICE_ID`: an aggregator listens on no port of its own, so a Register goes to the group with
TTL 0, which never leaves this host, and the aggregator must ask its sender back.
`http URL`: a server must answer 200; by https with a certificate that this machine trusts (SSL_CERT_FILE).
Where the daemon has an exporter (ETP_METRICS=HOST:PORT), the first two ask that instead: a signed market answers no strangers.
"""

import http.client
import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from etp import messages
from etp.codes import MessageType
from etp.frame import FRAME_SIZE, Frame, decode, encode, invalid
from etp.session import PREFIX, PREFIX_SIZE
from etp.units import DeviceId

ASKER: Final = DeviceId(2**64 - 1)
"""The device that asks; no real one has this id."""
TIMEOUT_S: Final = 3.0
HERE_ONLY: Final = 0
"""TTL of a datagram that stays on its host."""
WRONG_USE: Final = 2


def _stamped(frame: Frame) -> bytes:
    return encode(messages.stamped(frame, time.time_ns() // 1000))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def bess_serves(address: str) -> bool:
    """Whether a Query over TCP gets a Response. Raises OSError."""
    with socket.create_connection(_address(address), TIMEOUT_S) as sock:
        sock.sendall(PREFIX + _stamped(messages.query(ASKER)))
        with sock.makefile("rb") as stream:
            packet = stream.read(PREFIX_SIZE + FRAME_SIZE)
    if len(packet) != PREFIX_SIZE + FRAME_SIZE:
        return False
    frame = decode(packet[PREFIX_SIZE:])
    return invalid(frame) is None and frame.message_type == MessageType.RESPONSE


def aggregator_serves(host: str, group: str, device_id: int) -> bool:
    """Whether a Register in the group gets this device's Query. Raises OSError, also when it stays silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HERE_ONLY)
        sock.sendto(_stamped(messages.register(ASKER)), _address(group))
        end = time.monotonic() + TIMEOUT_S
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(FRAME_SIZE + 1)
            if len(data) == FRAME_SIZE and decode(data)[:3:2] == (MessageType.QUERY, device_id):
                return True
    return False


def http_serves(url: str) -> bool:
    """Whether a GET gets 200. Raises OSError."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.client.OK
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {error!r}") from error
    finally:
        connection.close()


def main(arguments: Sequence[str]) -> int:
    """The check's status."""
    exporter = os.environ.get("ETP_METRICS")
    try:
        match arguments:
            case ["http", url]:
                return 0 if http_serves(url) else 1
            case ["bess" | "aggregator", _, *_] if exporter:
                return 0 if http_serves(f"http://127.0.0.1:{_address(exporter)[1]}/healthz") else 1
            case ["bess", address]:
                return 0 if bess_serves(address) else 1
            case ["aggregator", host, group, device_id]:
                return 0 if aggregator_serves(host, group, int(device_id)) else 1
    except OSError as error:
        sys.stderr.write(f"{' '.join(arguments)}: {error}\n")
        return 1
    sys.stderr.write("usage: bess HOST:PORT | aggregator HOST GROUP:PORT DEVICE_ID | http URL\n")
    return WRONG_USE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
