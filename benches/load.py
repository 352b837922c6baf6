"""Runs a load phase from the bench's side: the generator's process, the server's processor time, the figures of both."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import msgspec

from benches.child import running
from benches.job import Job, Outcome
from benches.report import MS, Figure, percentile, spread

HEAD_START_S: Final = 0.3
"""From the order to begin to the first bid."""
END_S: Final = 20.0
"""A generator that has not ended so long after its phase is ended."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What a load phase brought."""

    job: Job
    outcome: Outcome
    server_cpu_percent: float
    others_cpu_percent: float
    """What the rest of the machine took meanwhile, of one core: a measurement beside other work is one of that work too."""

    @property
    def answered_per_s(self) -> float:
        """Answers a second."""
        return len(self.outcome.answer_us) / self.outcome.seconds

    @property
    def answered_per_core_s(self) -> float:
        """Answers a second of the server's processor time: what the generator takes does not count against the server."""
        return 100 * self.answered_per_s / self.server_cpu_percent

    @property
    def answer_ms(self) -> list[float]:
        """Latencies of answers, ms."""
        return in_ms(self.outcome.answer_us)

    def faults(self) -> list[Figure]:
        """What must not happen under any load."""
        return [
            Figure("unanswered bids", self.outcome.unanswered, most=0),
            Figure("wrong answers", sum(self.outcome.wrong.values()), most=0),
        ]

    def costs(self) -> list[Figure]:
        """Who was busy, and how late the generator itself was."""
        lag = percentile(sorted(in_ms(self.outcome.lag_us)), 99)
        generator_percent = 100 * self.outcome.cpu_s / self.outcome.seconds
        costs = [
            Figure("server, share of a core", round(self.server_cpu_percent, 1), "%"),
            Figure("generator, share of a core", round(generator_percent, 1), "%"),
            Figure("all else, share of a core", round(self.others_cpu_percent, 1), "%"),
        ]
        return [*costs, Figure("generator late p99", round(lag, 3), MS)] if self.outcome.lag_us else costs

    def latencies(self, name: str, *, most_p99: float | None = None, most: float | None = None) -> list[Figure]:
        """Percentiles of the answers."""
        return spread(name, self.answer_ms, most_p99=most_p99, most=most)


def processor_us(phases: Sequence[Phase]) -> float:
    """What a bid and its answer take of the server's processor, median of the phases, µs."""
    return 1e6 / median(phase.answered_per_core_s for phase in phases)


def in_ms(values_us: list[int]) -> list[float]:
    """Milliseconds of microseconds."""
    return [value / 1000 for value in values_us]


def busy_s() -> float:
    """Processor time of the whole machine so far, idle and stolen time left out, s."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


class Busy(Protocol):
    """One process, or several that serve together."""

    def cpu_s(self) -> float:
        """Processor time so far, s."""


def run(job: Job, server: Busy, directory: Path) -> Phase:
    """One phase. Raises ChildError where the generator fails."""
    module = "benches.grpc_generator" if job.wire == "grpc" else "benches.generator"
    with running(module, [msgspec.json.encode(job).decode()], directory / "generator.log") as generator:
        generator.line()
        server_s, all_s = server.cpu_s(), busy_s()
        generator.tell(repr(time.monotonic() + HEAD_START_S).encode())
        text = generator.rest(HEAD_START_S + job.seconds + END_S)
        server_s, all_s = server.cpu_s() - server_s, busy_s() - all_s
    outcome = msgspec.json.decode(text, type=Outcome)
    others_s = max(0.0, all_s - server_s - outcome.cpu_s)
    return Phase(job, outcome, 100 * server_s / outcome.seconds, 100 * others_s / outcome.seconds)
