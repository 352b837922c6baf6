"""metrics.json: written whole, where something changed, and once more at the end."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.histogram import Metrics
from runtime.io import metrics_file
from runtime.io.metrics_file import FILE, keep_metrics, read_metrics, write_metrics

PERIOD_S = 0.005


class Node:
    """Counters that are kept in a file, and how often that was written."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.metrics, self.stopping = directory, Metrics(), asyncio.Event()
        self.sessions = 0
        self.writes = 0
        self.looks = 0
        self._looked = asyncio.Event()
        monkeypatch.setattr(metrics_file, "write_metrics", self._write)

    def _write(self, directory: Path, text: str) -> None:
        self.writes += 1
        write_metrics(directory, text)

    def view(self) -> dict[str, object]:
        """What the node shows of itself."""
        self.looks += 1
        self._looked.set()
        return {"sessions": self.sessions}

    async def periods(self, count: int) -> None:
        """Wait until the counters were looked at so many times more."""
        wanted = self.looks + count
        while self.looks < wanted:
            self._looked.clear()
            async with asyncio.timeout(5):
                await self._looked.wait()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Its file is kept while this lasts."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                keep_metrics(self.directory, self.metrics, self.stopping, period_s=PERIOD_S, view=self.view)
            )
            await self.periods(1)
            yield
            self.stopping.set()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Node]:
    """Makes the node; to be called within the loop."""
    return lambda: Node(tmp_path, monkeypatch)


async def test_an_idle_node_writes_once(node: Callable[[], Node]) -> None:
    """The first time, and not again while nothing changes, nor at the end."""
    idle = node()
    async with idle.kept():
        await idle.periods(10)
    assert idle.writes == 1


@pytest.mark.parametrize("what", ["counter", "histogram", "view"])
async def test_each_change_is_written_once(node: Callable[[], Node], what: str) -> None:
    """A counter, a latency, what the node shows: each is in the file a period later, by one write."""
    busy = node()
    async with busy.kept():
        for number in range(1, 4):
            if what == "counter":
                busy.metrics.count("sent", "BID")
            elif what == "histogram":
                busy.metrics.observe("age_ms", "BID", 1.0)
            else:
                busy.sessions = number
            await busy.periods(2)
            assert busy.writes == 1 + number
    found = read_metrics(busy.directory)
    assert {
        "counter": found["counters"] == {"sent": {"BID": 3}},
        "histogram": found["histograms"].get("age_ms", {}).get("BID", {}).get("count") == 3,
        "view": found["node"] == {"sessions": 3},
    }[what]


async def test_the_last_change_is_written_at_the_end(node: Callable[[], Node]) -> None:
    """What changed in the period in which the node stops is in the file when the keeper returns."""
    busy = node()
    async with busy.kept():
        busy.metrics.count("sent", "BID")
    assert read_metrics(busy.directory)["counters"] == {"sent": {"BID": 1}}


async def test_a_stop_does_not_wait_for_the_period(tmp_path: Path) -> None:
    """Told to stop, the keeper writes and returns at once, however long its period."""
    stopping = asyncio.Event()
    stopping.set()
    async with asyncio.timeout(1):
        await keep_metrics(tmp_path, Metrics(), stopping, period_s=600, view=dict)
    assert read_metrics(tmp_path) == {"counters": {}, "histograms": {}, "node": {}}


def test_a_reader_never_sees_half(tmp_path: Path) -> None:
    """While a thread replaces the file 300 times by one of another length, each read is one whole version of it."""
    texts = [json.dumps({"version": number, "filler": "x" * (number % 2 * 100_000)}) for number in range(300)]
    write_metrics(tmp_path, texts[0])

    def write_all() -> None:
        for text in texts:
            write_metrics(tmp_path, text)

    writer = threading.Thread(target=write_all)
    writer.start()
    seen: list[int] = []
    while writer.is_alive():
        found = json.loads((tmp_path / FILE).read_text())
        assert len(found["filler"]) == found["version"] % 2 * 100_000
        seen.append(found["version"])
    writer.join()
    assert seen == sorted(seen)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("text", [None, "", "{", "[1"])
def test_without_a_whole_file_there_are_no_counters_yet(tmp_path: Path, text: str | None) -> None:
    """A missing or broken file reads as empty, never raises."""
    if text is not None:
        (tmp_path / FILE).write_text(text)
    assert read_metrics(tmp_path) == {}


def test_what_a_kill_left_behind_is_replaced(tmp_path: Path) -> None:
    """Half a file of a process that died in mid-write neither counts nor hinders the next."""
    (tmp_path / f"{FILE}.new").write_text('{"counters": {"se')
    assert read_metrics(tmp_path) == {}
    write_metrics(tmp_path, "{}")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


async def test_a_full_disk_does_not_end_the_keeper(node: Callable[[], Node], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters are not worth a node's life: a write that fails is tried again a period later."""
    full = node()
    async with full.kept():
        monkeypatch.setattr(metrics_file, "write_metrics", no_room)
        full.metrics.count("sent", "BID")
        await full.periods(2)
        monkeypatch.setattr(metrics_file, "write_metrics", write_metrics)
        await full.periods(2)
        assert read_metrics(full.directory)["counters"] == {"sent": {"BID": 1}}


def no_room(directory: Path, text: str) -> None:
    """What a full disk says."""
    raise OSError(28, f"No space left on device ({len(text)} bytes)", str(directory))
