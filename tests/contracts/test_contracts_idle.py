"""A quiet market: nothing was settled for a while, and then something is."""

import asyncio
from typing import Any

import pytest

from contracts.io.settler import SettlerShell
from etp.clock import Now
from etp.io.clock import system_now
from etp.units import MonotonicS
from runtime.histogram import Metrics
from tests.contracts.fake_chain import Bench, entry


class Sleeper:
    """A settler that has nothing to do, but something due now and then; counts how often it is asked."""

    PERIOD_S = 0.05

    def __init__(self) -> None:
        self.asked = 0
        self.due_s = system_now().monotonic_s + self.PERIOD_S

    def next_deadline(self) -> MonotonicS:
        """When it wants to be asked."""
        return MonotonicS(self.due_s)

    def advance(self, now: Now) -> list[Any]:
        """Nothing comes of it."""
        self.asked += 1
        self.due_s = now.monotonic_s + self.PERIOD_S
        return []


async def _never(_: object) -> None:
    raise AssertionError("nothing is committed")


async def test_the_settler_sleeps_until_something_is_due() -> None:
    """It is asked when it said so, not as often as the loop turns: a battery beside a Raspberry Pi is idle most of the time."""
    settler = Sleeper()
    shell = SettlerShell(
        settler,  # type: ignore[arg-type]
        [],
        commit=_never,
        write=lambda _: None,
        metrics=Metrics(),
        clock=system_now,
    )
    running = asyncio.create_task(shell.run())
    await asyncio.sleep(Sleeper.PERIOD_S * 8)
    shell.stop()
    await running
    assert 2 <= settler.asked <= 10


@pytest.mark.parametrize("rpcs", [1, 3])
def test_after_a_quiet_time_an_honest_rpc_is_believed(rpcs: int) -> None:
    """Whatever the time between two trades: no RPC is put aside, and the second is paid as soon as the first."""
    bench = Bench(rpcs)
    bench.add(entry(1))
    bench.run(2)
    bench.run(120)
    bench.add(entry(2))
    bench.run(2)
    assert [bench.state(lot) for lot in (1, 2)] == ["settled", "settled"]
    assert [log.fields["reason"] for log in bench.logs if log.event == "rpc" and log.fields["reason"]] == []
    bench.check()
