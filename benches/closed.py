"""The most bids that 1 to 1,000 connections get answered, each with one outstanding: ETP beside an echo and beside JSON.

The same generator drives all of them in alternating rounds, and medians are compared at 200 connections. The echo returns
the same 88 bytes from the same kind of loop: what no protocol can beat. JSON over `websockets` comes twice: with the very
desk and journal of the ETP daemon behind it, so that only the wire differs, and bare, with nothing but an ask.
"""

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final, Literal, NamedTuple

from benches import load
from benches.child import battery, running
from benches.english import OPEN_MARKET
from benches.job import Job, WireName
from benches.load import Busy, Phase
from benches.plan import Plan
from benches.report import Figure, Report

CONNECTIONS: Final = 200
"""Where the limits are judged."""
OTHERS: Final = (1, 10, 1_000)
SECONDS: Final = 1.5
ROUNDS: Final = 5
WARM_UP_S: Final = 0.5
"""Of each server, before anything counts: its first bids meet cold caches and, behind a broker, connections that are being made."""
LEAST_OF_ECHO_PERCENT: Final = 40.0
LEAST_OF_JSON_PERCENT: Final = 100.0


class Server(NamedTuple):
    """One of them, ready."""

    name: str
    wire: WireName
    child: Busy
    address: tuple[str, int]


def _serve(stack: ExitStack, directory: Path) -> list[Server]:
    """All of them, which start at the same time."""
    others: tuple[tuple[str, Literal["echo", "json"], str, tuple[str, ...]], ...] = (
        ("echo", "echo", "benches.echo", ()),
        ("json", "json", "benches.json_server", (str(directory / "json"),)),
        ("bare json", "json", "benches.json_server", ()),
    )
    started = [
        (name, wire, stack.enter_context(running(module, arguments, directory / f"{name}.log")))
        for name, wire, module, arguments in others
    ]
    child, address = stack.enter_context(battery(directory, *OPEN_MARKET))
    servers = [Server("etp", "etp", child, address)]
    for name, wire, child in started:
        host, port = child.line()["tcp"].split(":")
        servers.append(Server(name, wire, child, (host, int(port))))
    return servers


class Rounds:
    """Phases so far, by server and connections."""

    def __init__(self, servers: list[Server], directory: Path, seconds: float) -> None:
        self.phases: defaultdict[tuple[str, int], list[Phase]] = defaultdict(list)
        self._servers, self._directory, self._seconds = servers, directory, seconds
        self._begun = dict.fromkeys((server.name for server in servers), 0)

    @property
    def names(self) -> list[str]:
        """Of the servers."""
        return list(self._begun)

    def warm(self, connections: int) -> None:
        """Each server in turn, and nothing of it counts."""
        for server in self._servers:
            self._phase(server, connections, min(WARM_UP_S, self._seconds))

    def run(self, connections: int) -> None:
        """Each server in turn."""
        for server in self._servers:
            self.phases[server.name, connections].append(self._phase(server, connections, self._seconds))

    def _phase(self, server: Server, connections: int, seconds: float) -> Phase:
        name, wire, child, (host, port) = server
        phase = load.run(
            Job(host, port, connections, seconds, wire=wire, begun=self._begun[name]), child, self._directory
        )
        self._begun[name] += phase.outcome.sent
        return phase

    def rate(self, name: str, connections: int) -> float:
        """Median of the bids answered a second."""
        return median(phase.answered_per_s for phase in self.phases[name, connections])

    def rate_of_core(self, name: str, connections: int) -> float:
        """Median of the bids answered in a second of the server's processor time."""
        return median(phase.answered_per_core_s for phase in self.phases[name, connections])

    def answer_ms(self, name: str, connections: int) -> list[float]:
        """All latencies."""
        return [latency for phase in self.phases[name, connections] for latency in phase.answer_ms]

    def percent_of(self, name: str, connections: int) -> float:
        """ETP's rate as a share of another's, %."""
        return round(100 * self.rate("etp", connections) / self.rate(name, connections), 1)

    def core_percent_of(self, name: str, connections: int) -> float:
        """The same of the rates a second of the server's processor time, %."""
        return round(100 * self.rate_of_core("etp", connections) / self.rate_of_core(name, connections), 1)


def run(plan: Plan) -> Report:
    """Measure."""
    judged, rounds = plan.size(CONNECTIONS, 10), plan.size(ROUNDS, 1)
    others = () if plan.quick else OTHERS
    with plan.scratch() as directory, ExitStack() as stack:
        done = Rounds(_serve(stack, directory), directory, plan.phase_s(SECONDS))
        for _ in range(plan.size(1, 0)):
            done.warm(judged)
        for connections in others:
            done.run(connections)
        for _ in range(rounds):
            done.run(judged)
    every = [phase for phases in done.phases.values() for phase in phases]
    return Report(
        f"closed loop, {plan.phase_s(SECONDS):g} s each; {judged} connections: medians of {rounds} alternating rounds",
        [
            Figure(
                f"etp of echo, {judged} connections", done.percent_of("echo", judged), "%", least=LEAST_OF_ECHO_PERCENT
            ),
            Figure(
                f"etp of json, {judged} connections", done.percent_of("json", judged), "%", least=LEAST_OF_JSON_PERCENT
            ),
            Figure(f"etp of bare json, {judged} connections", done.percent_of("bare json", judged), "%"),
            *(
                Figure(f"etp of {name}, per server core-second", done.core_percent_of(name, judged), "%")
                for name in done.names
                if name != "etp"
            ),
            Figure("unanswered bids", sum(phase.outcome.unanswered for phase in every), most=0),
            Figure("wrong answers", sum(sum(phase.outcome.wrong.values()) for phase in every), most=0),
            *(figure for connections in (*others, judged) for figure in rates(done, connections)),
            *(figure for name in done.names for figure in costs(name, done.phases[name, judged])),
            Figure("all else, share of a core", round(median(phase.others_cpu_percent for phase in every), 1), "%"),
        ],
    )


def rates(done: Rounds, connections: int) -> list[Figure]:
    """Of all servers."""
    return [
        Figure(f"{name}, {connections:,} connections", round(done.rate(name, connections)), "bids/s")
        for name in done.names
    ]


def costs(name: str, phases: list[Phase]) -> list[Figure]:
    """Who was busy: a generator that takes a whole core is the limit itself."""
    server = median(phase.server_cpu_percent for phase in phases)
    generator = median(100 * phase.outcome.cpu_s / phase.outcome.seconds for phase in phases)
    return [
        Figure(f"{name} server, share of a core", round(server, 1), "%"),
        Figure(f"{name} generator, share of a core", round(generator, 1), "%"),
        Figure(f"{name} server, processor time a bid", round(load.processor_us(phases), 1), "µs"),
    ]
