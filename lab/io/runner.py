"""Runs an experiment's tasks through an executor and puts the rows into one table, the same one however many did the work.

Any `concurrent.futures.Executor` will do: a pool of processes on this machine, or Dask's by the address of its scheduler.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, Final

import pyarrow as pa

from lab.experiment import Experiment, Row, Scale, Task

Progress = Callable[[int, int], None]
"""Is told how many tasks are done, of how many."""

ANSWER_S: Final = 10.0
"""How long a Dask scheduler may take to answer, and then to have a worker: a worker that was started along with it takes about one."""

INSTALL: Final = "pip install --no-deps --require-hashes -r requirements/dask.lock"
"""As docs/laboratory.md says it; why not simply the newest Dask is in requirements/dask.in."""

LOGS: Final = ("distributed", "distributed.client", "tornado.application", "asyncio")
"""What a client of Dask logs under. What fails there is said by our errors: its log would print tracebacks before them, of connections and
tasks that went with the scheduler."""


class LabError(Exception):
    """An experiment cannot be run, or its results cannot be read; says why and what would help."""


@contextmanager
def executor(*, jobs: int, dask: str | None = None) -> Iterator[Executor]:
    """Processes of this machine, or the workers of a Dask cluster at an address such as tcp://HOST:8786. Raises LabError."""
    if dask is not None:
        with _dask(dask) as pool:
            yield pool
        return
    # Spawned, not forked: each begins with what it imports, and a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    distributed = _imported(address)
    try:
        asyncio.run(_require_scheduler(distributed, address))
        client = distributed.Client(address, timeout=ANSWER_S)
    except (OSError, ValueError) as error:
        said = str(error) or f"nothing was said within {ANSWER_S:g} s"
        raise LabError(
            f"no Dask scheduler answers at {address!r} (expected such as tcp://HOST:8786): {said}"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWER_S)
        except OSError as error:
            raise LabError(
                f"the Dask scheduler at {address} had no worker within {ANSWER_S:g} s; expected at least one: {error}"
            ) from error
        with client.get_executor() as pool:
            yield pool


def _imported(address: str) -> Any:
    if find_spec("distributed") is None:
        raise LabError(f"--dask {address} needs Dask, which is not installed here: {INSTALL}")
    try:
        distributed = import_module("distributed")
    except Exception as error:  # of whatever kind: beside anchorpy's toolz it is an AttributeError deep in the import
        raise LabError(f"--dask {address} needs Dask, which cannot be imported here ({error!r}): {INSTALL}") from error
    for name in LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


async def _require_scheduler(distributed: Any, address: str) -> None:
    """Raises OSError or ValueError. A client's own limit does not bound its handshake: who accepts and is silent would hold it for ever."""
    connecting_s = ANSWER_S / 2  # less than all, so that what nobody listens to is told from what is silent
    async with asyncio.timeout(ANSWER_S), distributed.rpc(address, timeout=connecting_s) as peer:
        kind = (await peer.identity())["type"]
    if kind != "Scheduler":
        raise ValueError(f"a {kind} of Dask's answers there")


def default_jobs() -> int:
    """As many as this process may use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(experiment: Experiment, scale: Scale, seed: int, pool: Executor, progress: Progress) -> pa.Table:
    """Every row of every task, sorted by the tasks' keys. Raises LabError naming the task that failed."""
    tasks = experiment.tasks(scale, seed)
    _require_unique(tasks)
    done: dict[str, list[Row]] = {}
    futures: dict[Future[list[Row]], Task] = {pool.submit(experiment.run, *task.arguments): task for task in tasks}
    progress(0, len(tasks))
    try:
        for future in as_completed(futures):
            task = futures[future]
            done[task.key] = _result(future, experiment, task)
            progress(len(done), len(tasks))
    finally:
        for future in futures:
            future.cancel()
    return table_of([row for key in sorted(done) for row in done[key]])


def _require_unique(tasks: list[Task]) -> None:
    keys = [task.key for task in tasks]
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    if twice:
        raise LabError(f"tasks have the same key {twice[0]!r}; expected one key per task")


def _result(future: Future[list[Row]], experiment: Experiment, task: Task) -> list[Row]:
    try:
        return future.result()
    except CancelledError as error:  # by the executor: nobody here cancels before the first failure
        raise LabError(
            f"{experiment.name}: task {task.key} was given up: the scheduler was lost, or cancelled it"
        ) from error
    except Exception as error:
        raise LabError(f"{experiment.name}: task {task.key} with {task.arguments!r}: {error!r}") from error


def table_of(rows: list[Row]) -> pa.Table:
    """The rows as one table, columns as the first row has them. Raises LabError where a row differs."""
    if not rows:
        raise LabError("the tasks returned no rows")
    columns, types = list(rows[0]), {name: type(cell) for name, cell in rows[0].items()}
    for row in rows:
        if {name: type(cell) for name, cell in row.items()} != types:
            raise LabError(f"a row has {_shape(row)}; expected {_shape(rows[0])} as the first one")
    return pa.table({name: [row[name] for row in rows] for name in columns})


def _shape(row: Row) -> str:
    return ", ".join(f"{name}: {type(cell).__name__}" for name, cell in row.items())
