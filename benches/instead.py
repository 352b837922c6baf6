"""What people could use instead, on the same work in one run: bid and answer over gRPC, over an MQTT broker, and as JSON over websockets.

The battery's own desk, shell and journal judge the bids of all of them, so that only the wire and what carries it differ; the echo of
the same bytes is what no protocol can beat. Closed loop in alternating rounds, after one that does not count; medians are compared.
Judged are answers a second of the server's processor time (a broker's counts with it): the generators share the machine, and gRPC's
costs so much that a comparison of rates would measure it.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benches.behind import SETTINGS
from benches.child import Child, ChildError, battery, running
from benches.closed import Rounds, Server, costs, rates
from benches.english import OPEN_MARKET
from benches.gateway_kills import free_port, until
from benches.plan import Plan
from benches.report import Figure, Report, spread

CONNECTIONS: Final = 200
SECONDS: Final = 1.5
ROUNDS: Final = 5
OTHERS: Final = ("grpc", "mqtt", "json")
BESIDE: Final = (*OTHERS, "echo")
OF_CORE: Final = "per server core-second"
BROKER_S: Final = 10.0
BROKERS: Final = ("/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/opt/homebrew/sbin/mosquitto")


@dataclass(frozen=True, slots=True)
class Both:
    """A broker and the battery behind it serve together."""

    first: Child
    second: Child

    def cpu_s(self) -> float:
        """Of both."""
        return self.first.cpu_s() + self.second.cpu_s()


def broker_program() -> str:
    """Where mosquitto is. Raises ChildError: it is not installed."""
    found = shutil.which("mosquitto") or next((path for path in BROKERS if Path(path).exists()), None)
    if found is None:
        raise ChildError("mosquitto is not installed; Debian has it as `mosquitto`")
    return found


@contextmanager
def broker(directory: Path) -> Iterator[tuple[Child, int]]:
    """A mosquitto of its own on a free port of loopback, that drops nothing and waits for nothing."""
    port = free_port()
    given = directory / "mosquitto.conf"
    settings = (f"listener {port} 127.0.0.1", "allow_anonymous true", "set_tcp_nodelay true", "max_queued_messages 0")
    given.write_text("\n".join((*settings, "persistence false", "")))
    log = directory / "mosquitto.log"
    child = Child("mosquitto", (), log, command=(broker_program(), "-c", str(given)))
    try:
        if not until(lambda: b"running" in log.read_bytes(), BROKER_S):
            raise ChildError(f"mosquitto did not start within {BROKER_S:g} s: {log.read_text(errors='replace')[-400:]}")
        yield child, port
    finally:
        child.stop()


def _serve(stack: ExitStack, directory: Path) -> list[Server]:
    """All of them, which start at the same time."""
    started = {
        name: stack.enter_context(running(f"benches.{module}", arguments, directory / f"{name}.log"))
        for name, module, arguments in (
            ("echo", "echo", ()),
            ("grpc", "grpc_server", (str(directory / "grpc"),)),
            ("json", "json_server", (str(directory / "json"),)),
        )
    }
    between, port = stack.enter_context(broker(directory))
    words = (str(directory / "mqtt"), str(port))
    mqtt = stack.enter_context(running("benches.mqtt_server", words, directory / "mqtt.log"))
    child, address = stack.enter_context(battery(directory, *OPEN_MARKET))
    return [
        Server("etp", "etp", child, address),
        Server("echo", "echo", started["echo"], _address(started["echo"])),
        Server("grpc", "grpc", started["grpc"], _address(started["grpc"])),
        Server("mqtt", "mqtt", Both(between, mqtt), _address(mqtt)),
        Server("json", "json", started["json"], _address(started["json"])),
    ]


def _address(child: Child) -> tuple[str, int]:
    host, port = child.line()["tcp"].split(":")
    return host, int(port)


def run(plan: Plan) -> Report:
    """Measure."""
    connections, rounds = plan.size(CONNECTIONS, 10), plan.size(ROUNDS, 1)
    with plan.scratch() as directory, ExitStack() as stack:
        done = Rounds(_serve(stack, directory), directory, plan.phase_s(SECONDS))
        for _ in range(plan.size(1, 0)):
            done.warm(connections)
        for _ in range(rounds):
            done.run(connections)
    every = [phase for phases in done.phases.values() for phase in phases]
    best = max(OTHERS, key=lambda name: done.rate_of_core(name, connections))
    fastest = max(OTHERS, key=lambda name: done.rate(name, connections))
    return Report(
        f"the same desk (device {SETTINGS.device_id}) behind each; closed loop, {connections} connections, "
        f"medians of {rounds} alternating rounds of {plan.phase_s(SECONDS):g} s",
        [
            Figure(
                f"etp of the best of them, {best}, {OF_CORE}", done.core_percent_of(best, connections), "%", least=100.0
            ),
            Figure(f"etp of the fastest of them, {fastest}, per second", done.percent_of(fastest, connections), "%"),
            *(Figure(f"etp of {name}, {OF_CORE}", done.core_percent_of(name, connections), "%") for name in BESIDE),
            *(Figure(f"etp of {name}, per second", done.percent_of(name, connections), "%") for name in BESIDE),
            Figure("unanswered bids", sum(phase.outcome.unanswered for phase in every), most=0),
            Figure("wrong answers", sum(sum(phase.outcome.wrong.values()) for phase in every), most=0),
            *rates(done, connections),
            *(
                figure
                for name in done.names
                for figure in spread(f"{name}: bid → answer", done.answer_ms(name, connections))
            ),
            *(figure for name in done.names for figure in costs(name, done.phases[name, connections])),
        ],
    )
