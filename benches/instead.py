"""What people could use instead, on the same work in one run: bid and answer over gRPC, and over an MQTT broker.

The battery's own desk, shell and journal judge the bids of all of them, so that only the wire and what carries it differ; the echo of
the same bytes is what no protocol can beat. Closed loop in alternating rounds; medians are compared.
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
    child, address = stack.enter_context(battery(directory, *OPEN_MARKET))
    servers = [Server("etp", "etp", child, address)]
    echo = stack.enter_context(running("benches.echo", (), directory / "echo.log"))
    servers.append(Server("echo", "echo", echo, _address(echo)))
    grpc = stack.enter_context(running("benches.grpc_server", (str(directory / "grpc"),), directory / "grpc.log"))
    servers.append(Server("grpc", "grpc", grpc, _address(grpc)))
    between, port = stack.enter_context(broker(directory))
    words = (str(directory / "mqtt"), str(port))
    mqtt = stack.enter_context(running("benches.mqtt_server", words, directory / "mqtt.log"))
    servers.append(Server("mqtt", "mqtt", Both(between, mqtt), _address(mqtt)))
    return servers


def _address(child: Child) -> tuple[str, int]:
    host, port = child.line()["tcp"].split(":")
    return host, int(port)


def run(plan: Plan) -> Report:
    """Measure."""
    connections, rounds = plan.size(CONNECTIONS, 10), plan.size(ROUNDS, 1)
    with plan.scratch() as directory, ExitStack() as stack:
        done = Rounds(_serve(stack, directory), directory, plan.phase_s(SECONDS))
        for _ in range(rounds):
            done.run(connections)
    every = [phase for phases in done.phases.values() for phase in phases]
    best = max(("grpc", "mqtt"), key=lambda name: done.rate(name, connections))
    return Report(
        f"the same desk (device {SETTINGS.device_id}) behind each; closed loop, {connections} connections, "
        f"medians of {rounds} alternating rounds of {plan.phase_s(SECONDS):g} s",
        [
            Figure(f"etp of the best of them, {best}", done.percent_of(best, connections), "%", least=100.0),
            Figure("etp of grpc", done.percent_of("grpc", connections), "%"),
            Figure("etp of mqtt", done.percent_of("mqtt", connections), "%"),
            Figure("etp of echo", done.percent_of("echo", connections), "%"),
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
