"""How long it takes there and back, with nothing done there: of a datagram to an echo, and of a request that asks a chain for its slot."""

import http.client
import json
import os
import socket
import time
from typing import Final
from urllib.parse import urlsplit

from benches.child import ChildError

TRIPS: Final = 500
WARM_UP: Final = 20
TIMEOUT_S: Final = 5.0
GET_SLOT: Final = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getSlot"})


def datagrams_ms(address: tuple[str, int], size: int, trips: int = TRIPS) -> list[float]:
    """One after the other, ms. Raises OSError where one does not come back."""
    found, data = [], os.urandom(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(address)
        for _ in range(WARM_UP + trips):
            began_s = time.perf_counter()
            sock.send(data)
            sock.recv(size)
            found.append((time.perf_counter() - began_s) * 1000)
    return found[WARM_UP:]


def slots_ms(url: str, trips: int = TRIPS) -> list[float]:
    """The least that an RPC does, over one connection, one after the other, ms. Raises ChildError, OSError."""
    place, found = urlsplit(url), []
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_S)
    try:
        for _ in range(WARM_UP + trips):
            began_s = time.perf_counter()
            connection.request("POST", place.path or "/", GET_SLOT, {"Content-Type": "application/json"})
            answer = connection.getresponse().read()
            found.append((time.perf_counter() - began_s) * 1000)
            if "result" not in json.loads(answer):
                raise ChildError(f"the chain does not tell its slot: {answer[:200]!r}")
    finally:
        connection.close()
    return found[WARM_UP:]
