"""When market time begins, said by the program that started this node: one line on stdout asks it, one on stdin answers."""

import asyncio
import math
import os
import stat
import sys
from typing import Final, TypeVar

from runtime.io.lifecycle import announce
from runtime.settings import NodeSettings, SettingsError

LONGEST: Final = 64
"""Of the line, bytes: a float has at most 24 digits and signs."""

S = TypeVar("S", bound=NodeSettings)


async def told_origin(settings: S, role: str, stopping: asyncio.Event) -> S:
    """The settings with `day_origin`, where they say that it is to be asked for; as they are once the node is to stop.

    To be awaited as the last thing before anything depends on market time: who answers does so once all its nodes have asked.
    Raises SettingsError for an answer that is no time, or none.
    """
    if not settings.day_told:
        return settings
    announce({"asks": "day_origin", "role": role, "device_id": settings.device_id})
    answer = asyncio.ensure_future(_line())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((answer, stopped), return_when=asyncio.FIRST_COMPLETED)
        return settings if stopping.is_set() else settings.model_copy(update={"day_origin": _time(answer.result())})
    finally:
        answer.cancel()
        stopped.cancel()


async def _line() -> bytes:
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):
        raise SettingsError("day_told", True, "needs a pipe or a terminal on stdin, where the answer comes")
    reader = asyncio.StreamReader(limit=LONGEST)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        return await reader.readline()
    except ValueError:
        return b""  # longer than any time
    finally:
        transport.close()


def _time(line: bytes) -> float:
    try:
        found = float(line)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        said = line.decode(errors="replace").strip()
        raise SettingsError("day_origin", said, "expected unix seconds, as a line on stdin (day_told)")
    return found
