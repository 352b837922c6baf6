"""`python -m benches.watchers`: dashboards in a process of their own: some read and note each event's age, some never read.

Job on stdin, one line; says that it is ready once all have subscribed; begins and ends at the instants (CLOCK_MONOTONIC) that
it is told; the outcome is its last line. Ages are counted in classes of half a millisecond, so that millions cost nothing.
"""

import base64
import gc
import os
import select
import socket
import sys
import time
from typing import Final

import msgspec

from runtime.io.lifecycle import raise_open_file_limit

CLASS_MS: Final = 0.5
CLASSES: Final = 20_000
"""10 s: what is older counts as that."""
READ: Final = 262_144
CONNECT_S: Final = 30.0
FILES_BESIDE: Final = 64
SUBSCRIBE: Final = b'{"verb":"subscribe"}'
_PING, _TEXT, _CLOSE = 0x89, 0x81, 0x88
_SHORT, _MEDIUM = 126, 127


class Watch(msgspec.Struct):
    """What a process of watchers does."""

    host: str
    port: int
    reading: int
    stalled: int


class Span(msgspec.Struct):
    """When ages count."""

    start_s: float
    end_s: float


class Seen(msgspec.Struct):
    """What came."""

    events: int
    gaps: int
    closed: int
    ages: dict[int, int]
    """Class of age → how many."""


class _Event(msgspec.Struct):
    time_us: int = 0


_events: Final = msgspec.json.Decoder(list[_Event])


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame of less than 126 bytes; the mask is zero, which is as good as any against a peer that we know."""
    return bytes((opcode, 0x80 | len(payload))) + bytes(4) + payload


class Watcher:
    """One dashboard's connection."""

    __slots__ = ("buffer", "sock")

    def __init__(self, job: Watch) -> None:
        self.sock = socket.create_connection((job.host, job.port), timeout=CONNECT_S)
        self.buffer = bytearray()
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {job.host}:{job.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.sock.recv(READ)
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(f"the gateway said {head[:200]!r}")
        self.buffer[:] = rest

    def subscribe(self) -> None:
        """Everything, and wait until it says so."""
        self.sock.sendall(masked(_TEXT, SUBSCRIBE))
        while not any(b'"Subscribed"' in text for text in self.texts()):
            self.buffer += self.sock.recv(READ)

    def texts(self) -> list[bytes]:
        """The whole messages in the buffer."""
        found, at, data = [], 0, self.buffer
        while len(data) - at >= 2:  # noqa: PLR2004 - the least of a frame
            size, head = data[at + 1], 2
            if size == _SHORT:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif size == _MEDIUM:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if len(data) - at < head + size:
                break
            text = bytes(data[at + head : at + head + size])
            if data[at] == _TEXT:
                found.append(text)
            elif data[at] == _PING:
                self.sock.send(masked(0x8A, text))
            elif data[at] == _CLOSE:
                raise ConnectionError(f"the gateway closed: {text!r}")
            at += head + size
        del data[:at]
        return found


class Watching:
    """All watchers of this process."""

    def __init__(self, job: Watch) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Watcher] = {}
        self.seen = Seen(0, 0, 0, {})
        self._ages = [0] * CLASSES
        self._stalled = []
        for _ in range(job.reading):
            watcher = Watcher(job)
            watcher.subscribe()
            watcher.sock.setblocking(False)
            self._readers[watcher.sock.fileno()] = watcher
            self._epoll.register(watcher.sock.fileno(), select.EPOLLIN)
            self._drain(0.0)  # those before it are sent batches already
        for _ in range(job.stalled):
            watcher = Watcher(job)
            watcher.subscribe()
            self._stalled.append(watcher)

    def run(self, span: Span) -> Seen:
        """Read until the end; what comes before the start is not counted."""
        while (left_s := span.start_s - time.monotonic()) > 0:
            self._drain(left_s)
        self.seen, self._ages = Seen(0, 0, 0, {}), [0] * CLASSES
        while (left_s := span.end_s - time.monotonic()) > 0:
            self._drain(left_s)
        self.seen.ages = {index: count for index, count in enumerate(self._ages) if count}
        return self.seen

    def _drain(self, seconds: float) -> None:
        for fd, _ in self._epoll.poll(seconds):
            watcher = self._readers[fd]
            try:
                data = watcher.sock.recv(READ)
                watcher.buffer += data
                texts = watcher.texts()
            except BlockingIOError:
                continue
            except ConnectionError:
                data, texts = b"", []
            if not data:
                self._epoll.unregister(fd)
                self.seen.closed += 1
                continue
            for text in texts:
                self._note(text)

    def _note(self, text: bytes) -> None:
        if text.startswith(b'[{"type":"Snapshot"'):
            self.seen.gaps += 1
            return
        now_us = time.time_ns() // 1000
        for event in _events.decode(text):
            age_ms = (now_us - event.time_us) / 1000
            self._ages[min(CLASSES - 1, max(0, int(age_ms / CLASS_MS)))] += 1
            self.seen.events += 1


def watch() -> Seen:
    """Connect, wait for the span, watch."""
    job = msgspec.json.decode(sys.stdin.readline(), type=Watch)
    raise_open_file_limit(job.reading + job.stalled + FILES_BESIDE)
    watching = Watching(job)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    gc.collect()
    gc.disable()  # a pause of ours would count as the gateway's
    # Until it is told the span it must read already, or it would be behind when it begins.
    told = select.epoll()
    told.register(sys.stdin.fileno(), select.EPOLLIN)
    while not told.poll(0):
        watching._drain(0.02)  # noqa: SLF001 - its own module's
    return watching.run(msgspec.json.decode(sys.stdin.readline(), type=Span))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(watch()) + b"\n")
    sys.stdout.flush()
