"""Heat: what a sensor's file says, and what the desk makes of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bess_node.io.thermometer import SensorError, check, read_c, watch
from etp.codes import FailureCode, Health, MessageType
from runtime.histogram import Metrics
from runtime.settings import SettingsError
from tests.support import Bench, at, bench


def test_m_degrees(tmp_path: Path) -> None:
    """As hwmon writes: 25,500 is 25.5 °C, with its line end."""
    file = tmp_path / "temp1_input"
    file.write_text("25500\n")
    assert read_c(file) == 25.5
    file.write_text("-1000")
    assert read_c(file) == -1.0


@pytest.mark.parametrize("text", ["", "warm", "25.5", "999999", "\0" * 100_000, None])
def test_a_sensor_that_says_nothing(tmp_path: Path, text: str | None) -> None:
    """Nothing, no number, or what cannot be: named with its file; refused at the start."""
    file = tmp_path / "temp1_input"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SensorError, match="temp1_input"):
        read_c(file)
    with pytest.raises(SettingsError, match="temperature_file"):
        check(file)


def measure(made: Bench, celsius: float, second: float) -> None:
    """Tell the desk a temperature."""
    made.do(made.desk.measured(celsius, at(second)), at(second))


def test_too_hot_is_a_device_failure_until_it_has_cooled() -> None:
    """At 60 °C DeviceFailure(TEMPERATURE) and nothing for sale; at 56 still; at 55 a lot is open again."""
    made = bench()
    measure(made, 59.9, 1.0)
    assert made.desk.failure is None
    measure(made, 60.0, 2.0)
    assert (made.broadcast[-1].message_type, made.broadcast[-1].termination_code) == (
        MessageType.DEVICE_FAILURE,
        FailureCode.TEMPERATURE,
    )
    assert made.desk.offer().for_sale == 0
    measure(made, 56.0, 3.0)
    assert made.desk.failure is FailureCode.TEMPERATURE
    measure(made, 55.0, 4.0)
    assert made.desk.failure is None
    assert made.desk.offer().for_sale > 0


def test_heat_ends_no_other_failure() -> None:
    """An inverter that failed is not repaired by a cool battery; a warm one shows a worse health."""
    made = bench()
    made.do(made.desk.fail(FailureCode.INVERTER, at(1.0)), at(1.0))
    measure(made, 50.0, 2.0)
    assert made.desk.failure is FailureCode.INVERTER
    assert made.desk.store.battery.health is Health.GOOD


async def test_the_watch_survives_its_sensor(tmp_path: Path) -> None:
    """A file that disappears is counted, and the last temperature stays."""
    file, made, stopping = tmp_path / "temp1_input", bench(), asyncio.Event()
    file.write_text("47000")

    class Applied:
        metrics = Metrics()

        def apply(self, effects: Any, now: Any) -> None:
            made.do(effects, now)

        def turned(self) -> None:
            stopping.set()

    await watch(file, made.desk, Applied(), stopping)
    assert made.desk.store.battery.temperature_c == 47.0
    file.unlink()
    stopping.clear()
    watching = asyncio.create_task(watch(file, made.desk, Applied(), stopping))
    await asyncio.sleep(0)
    stopping.set()
    await watching
    assert Applied.metrics.counters["temperature_unreadable", ""] == 1
    assert made.desk.store.battery.temperature_c == 47.0
