"""A process that asks a gateway's REST API at a stated rate (open loop): a request's time is from when it was due to its last byte.

Told one Asking on its command line; says that it is ready, reads from stdin the instant to begin at, and says what it saw.
"""

import asyncio
import itertools
import sys
import time
from collections import defaultdict

import msgspec
import uvloop

LINE_BYTES = 1 << 16


class Asking(msgspec.Struct):
    """What to ask, in turn: (kind, path)."""

    host: str
    port: int
    key: str
    paths: list[tuple[str, str]]
    rate: float
    """Requests a second."""
    seconds: float
    connections: int


class Answers(msgspec.Struct):
    """What came back."""

    took_us: dict[str, list[int]]
    """By kind."""
    wrong: dict[str, int]
    """Answers that were not 200, by kind and status."""
    size: int
    """Bytes of bodies."""
    unanswered: int


class _Line:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asking: Asking) -> None:
        self._reader, self._writer = reader, writer
        self._head = f"Host: {asking.host}:{asking.port}\r\nAuthorization: Bearer {asking.key}\r\nAccept: application/json\r\n\r\n"

    async def ask(self, path: str) -> tuple[int, int]:
        """(status, bytes of the body)."""
        self._writer.write(f"GET {path} HTTP/1.1\r\n{self._head}".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        await self._reader.readexactly(length)
        return int(lines[0].split()[1]), length


async def _work(line: _Line, asking: Asking, begin_s: float, numbers: "itertools.count[int]", answers: Answers) -> None:
    """Whichever connection is free takes the next request that is due."""
    loop = asyncio.get_running_loop()
    while True:
        number = next(numbers)
        due_s = begin_s + number / asking.rate
        if due_s >= begin_s + asking.seconds:
            return
        await _until(loop, due_s)
        kind, path = asking.paths[number % len(asking.paths)]
        answers.unanswered += 1
        status, size = await line.ask(path)
        answers.unanswered -= 1
        answers.took_us[kind].append(round((time.monotonic() - due_s) * 1e6))
        answers.size += size
        if status != 200:  # noqa: PLR2004 - OK
            name = f"{kind} {status}"
            answers.wrong[name] = answers.wrong.get(name, 0) + 1


async def _until(loop: asyncio.AbstractEventLoop, due_s: float) -> None:
    wait_s = due_s - time.monotonic()
    if wait_s > 0:
        due = loop.create_future()
        loop.call_later(wait_s, due.set_result, None)
        await due


async def ask(asking: Asking) -> Answers:
    """The whole job."""
    made = [
        await asyncio.open_connection(asking.host, asking.port, limit=LINE_BYTES) for _ in range(asking.connections)
    ]
    lines = [_Line(reader, writer, asking) for reader, writer in made]
    for _, path in asking.paths:  # a gateway that has just started reads its store from the disk
        await lines[0].ask(path)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    begin_s = float(await asyncio.to_thread(sys.stdin.readline))
    answers, numbers = Answers(defaultdict(list), {}, 0, 0), itertools.count()
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(_work(line, asking, begin_s, numbers, answers))
    for _, writer in made:
        writer.close()
    return answers


def main() -> None:
    """Run the job that the command line holds."""
    asking = msgspec.json.decode(sys.argv[1], type=Asking)
    sys.stdout.write(msgspec.json.encode(uvloop.run(ask(asking))).decode() + "\n")


if __name__ == "__main__":
    main()
