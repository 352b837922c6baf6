"""Seeds played, one or many: by a pool of processes, as many as were asked for, or as long as there is time."""

import gc
import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from itertools import count, islice
from typing import Final, NamedTuple

from sim.draw import Mode, Scenario, scenario
from sim.io.cashier import Cashier
from sim.run import Outcome, play

AHEAD: Final = 8
"""Seeds that wait for each process: enough that none is idle, few enough that an end is soon."""


class Played(NamedTuple):
    """A seed, and what it cost."""

    outcome: Outcome
    cpu_s: float


def played(drawn: Scenario) -> Outcome:
    """A scenario with all that belongs to it: where signatures are real, its trades are paid on a chain."""
    return play(drawn, Cashier)


def _at_ease() -> None:
    """No search for garbage while a market is played: it is over in a moment, and all of it goes at once."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _timed(seed: int, mode: Mode | None) -> Played:
    began_s = time.process_time()
    outcome = played(scenario(seed, mode))
    gc.collect()
    return Played(outcome, time.process_time() - began_s)


def campaign(
    first: int, runs: int | None, *, jobs: int, mode: Mode | None = None, seconds: float | None = None
) -> Iterator[Played]:
    """Outcomes as they come, of seeds from `first` on; `runs` None: as many as `seconds` allow.

    After `seconds` none is begun, but for one for each process that has been handed over already. One job stays in this process.
    """
    seeds = count(first) if runs is None else iter(range(first, first + runs))
    ends = time.monotonic() + seconds if seconds is not None else float("inf")
    if jobs == 1:
        for seed in seeds:
            if time.monotonic() >= ends:
                return
            yield _timed(seed, mode)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("forkserver"), _left_alone) as pool:
        play, waiting = partial(_timed, mode=mode), set[Future[Played]]()
        try:
            while True:
                if time.monotonic() < ends:
                    waiting |= {pool.submit(play, seed) for seed in islice(seeds, jobs * AHEAD - len(waiting))}
                else:
                    waiting = {future for future in waiting if not future.cancel()}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in waiting:
                future.cancel()


def _left_alone() -> None:
    """Ctrl-C is for the process that leads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _at_ease()
