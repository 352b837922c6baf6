"""From a durable Confirm to the finalized account read back: a local chain and a battery's settler, a process each.

The chain is `etp devnet` as it is (40 ms slots, final after 4), the settler is the daemon's own shell with a real journal.
First a gentle rate, whose latencies count; then more than the chain takes, for how many trades a second come through. Sooner than
the slots to finality, of which the first is half gone in the mean, and two requests (to send, to read back) no trade can be settled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from benches.child import Child, running
from benches.plan import Plan
from benches.report import MS, Figure, Report, percentile, spread
from benches.round_trips import TRIPS, slots_ms

SLOT_MS, FINALITY_SLOTS = 40, 4
GENTLE_RATE: Final = 20.0
GENTLE_SECONDS: Final = 30.0
GENTLE_MOST_MS: Final = 2_000.0
TRADES: Final = 3_000
FULL_RATE: Final = 1_000.0
"""Trades a second that are offered: more than come through."""
MOST_WAITING: Final = 600
"""On their way at a time: what comes beyond waits, as a battery that sells so fast would have to."""
LEAST_PER_S: Final = 200.0
HALF_A_SLOT: Final = 0.5
"""What is gone of the slot that a trade lands in, in the mean; slots to finality count from that one's beginning."""
REQUESTS: Final = 2
PHASE_S: Final = 120.0


@contextmanager
def chain(directory: Path) -> Iterator[tuple[Child, dict[str, Any]]]:
    """A ready local chain, and its first line."""
    pace = ("--slot-ms", str(SLOT_MS), "--finality-slots", str(FINALITY_SLOTS))
    options = ("--listen", "127.0.0.1:0", "--state-dir", str(directory / "chain"), "--log-level", "warning")
    with running("cli.main", ["devnet", *options, *pace], directory / "chain.log") as child:
        yield child, child.line()


def phase(settler: Child, **told: float) -> dict[str, Any]:
    """One phase of the settler's process."""
    settler.tell(msgspec.json.encode(told))
    found: dict[str, Any] = settler.line(PHASE_S)
    return found


def run(plan: Plan) -> Report:
    """Measure."""
    trades = plan.size(TRADES, 50)
    gentle = max(1, round(GENTLE_RATE * plan.phase_s(GENTLE_SECONDS)))
    with plan.scratch() as directory, chain(directory) as (devnet, ready):
        arguments = [ready["rpc"], ready["mint"], str(directory)]
        with running("benches.settler", arguments, directory / "settler.log") as settler:
            settler.line()
            phase(settler, trades=plan.size(50, 5), rate=GENTLE_RATE, most_waiting=MOST_WAITING)  # warms up
            calm = phase(settler, trades=gentle, rate=GENTLE_RATE, most_waiting=MOST_WAITING)
            before_s = devnet.cpu_s()
            full = phase(settler, trades=trades, rate=FULL_RATE, most_waiting=MOST_WAITING)
            devnet_s = devnet.cpu_s() - before_s
        request_ms = percentile(sorted(slots_ms(ready["rpc"], plan.size(TRIPS, 20))), 50)
    least_ms = (FINALITY_SLOTS - HALF_A_SLOT) * SLOT_MS + REQUESTS * request_ms
    per_s = full["settled"] / full["seconds"]
    return Report(
        f"Confirm durable → finalized account read back; {gentle:,} trades at {GENTLE_RATE:g}/s, then {trades:,} as fast as"
        f" they go; slots of {SLOT_MS} ms, {FINALITY_SLOTS} to finality",
        [
            *spread(
                f"at {GENTLE_RATE:g}/s: settled after", calm["waits_ms"], most=None if plan.quick else GENTLE_MOST_MS
            ),
            Figure("a request to the chain p50", round(request_ms, 2), MS),
            Figure("settled p50, times its least", round(percentile(calm["waits_ms"], 50) / least_ms, 2), "×"),
            Figure("at full rate: settled", round(per_s, 1), "trades/s", least=plan.size(round(LEAST_PER_S), 1)),
            *spread("at full rate: settled after", full["waits_ms"]),
            Figure("not settled", gentle + trades - calm["settled"] - full["settled"], "trades", most=0),
            Figure("settler CPU a trade", round(1000 * full["cpu_s"] / max(1, full["settled"]), 3), "ms"),
            Figure("chain CPU a trade", round(1000 * devnet_s / max(1, full["settled"]), 3), "ms"),
        ],
        notes={"settled": calm["settled"] + full["settled"]},
    )
