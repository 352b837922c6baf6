"""What a soak showed: figures with their limits, and what was lost of each message type. Pure."""

from collections import Counter
from statistics import median
from typing import Final, NamedTuple

from benches.report import MS, Figure, Report, percentile
from benches.soak.market import FIRST_PROBE
from benches.soak.probe import Bid
from benches.soak.run import Course, Found, Sample
from etp.codes import MessageType, Role
from etp.timing import REPLY_BUDGET_MS

DUE_AT_ANY_TIME: Final = "due at any time, answered"
"""Of all bids, those too that found no session since their battery had just been killed or cut off."""
SENT: Final = "sent, answered in budget"
UNDISTURBED: Final = "due while all was well, answered"
ANSWERED_PERCENT: Final = 99.5
GROWTH_PERCENT: Final = 5.0
WHOLE_S: Final = 1_800.0
"""A soak of at least this length is held to all limits; in a shorter one a single cut is too large a share, and caches still fill."""
SETTLED_SHARE: Final = 0.2
"""Memory counts from this share of the time on: until then caches and rings fill."""
EDGE_SHARE: Final = 0.1
"""Growth is from the median of the first so much of what counts to that of the last."""
AFTER_S: Final = 3.0
"""After a node is whole again, until its peers have dialled it: they back off for up to 2 s while it is away."""


class Loss(NamedTuple):
    """One message type: how many were handed to sessions, how many came out of one."""

    kind: str
    sent: int
    received: int
    late: int

    @property
    def percent(self) -> float:
        """Sent and not received, %; what was under way when a process was killed is not known to either."""
        return 100 * max(0, self.sent - self.received) / self.sent if self.sent else 0.0


def losses(found: Found) -> list[Loss]:
    """By type, over all lives of all nodes and the probes."""
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("sent", "received", "late_messages")}
    for counted in found.counters:
        for name, kinds in counted.get("counters", {}).items():
            if name in sums:
                sums[name].update(kinds)
    sums["sent"].update(found.probes.sent)
    sums["received"].update(found.probes.received)
    return [
        Loss(kind.name, sums["sent"][kind.name], sums["received"][kind.name], sums["late_messages"][kind.name])
        for kind in MessageType
        if sums["sent"][kind.name] or sums["received"][kind.name]
    ]


def growth_percent(samples: list[Sample], name: str, found: Found) -> float:
    """Of a witness's memory, %: one process that lived all the time."""
    whole_s = found.ended_s - found.began_s
    counted = [s for s in samples if s.name == name and s.at_s >= found.began_s + SETTLED_SHARE * whole_s]
    edge_s = EDGE_SHARE * (1 - SETTLED_SHARE) * whole_s
    first = [s.kib for s in counted if s.at_s <= counted[0].at_s + edge_s]
    last = [s.kib for s in counted if s.at_s >= counted[-1].at_s - edge_s]
    return 100 * (median(last) / median(first) - 1)


def answered_percent(bids: list[Bid]) -> float:
    """Within the budget, of all these."""
    within = sum(bid.answer_ms is not None and bid.answer_ms <= REPLY_BUDGET_MS for bid in bids)
    return 100 * within / len(bids) if bids else 0.0


def undisturbed(found: Found) -> list[Bid]:
    """Bids that were due while their battery ran and its network was whole."""
    blows: dict[int, list[tuple[float, float]]] = {}
    for struck in found.struck:
        role, _, device_id = struck.name.partition("-")
        if role == Role.BESS.value:
            window = (struck.from_s - REPLY_BUDGET_MS / 1000, struck.to_s + AFTER_S)
            blows.setdefault(int(device_id), []).append(window)
    return [
        bid
        for bid in found.probes.bids
        if not any(since <= bid.due_s <= until for since, until in blows.get(bid.battery, ()))
    ]


def judge(course: Course, found: Found) -> Report:
    """All figures."""
    whole = course.seconds >= WHOLE_S
    bids = found.probes.bids
    sent = [bid for bid in bids if bid.sent]
    answers = sorted(bid.answer_ms for bid in bids if bid.answer_ms is not None)
    kills = sum(struck.kind == "kill" for struck in found.struck)
    growths = {name: growth_percent(found.samples, name, found) for name in found.witnesses}
    return Report(
        f"{course.batteries} batteries × {course.aggregators} aggregators, signed and settled, {course.seconds / 60:g} min: "
        f"{kills} × kill -9, {len(found.struck) - kills} × network cut",
        [
            Figure("probe bids", len(bids), least=1),
            Figure(DUE_AT_ANY_TIME, round(answered_percent(bids), 3), "%"),
            Figure(
                SENT,
                round(answered_percent(sent), 3),
                "%",
                least=ANSWERED_PERCENT if whole else None,
            ),
            Figure(
                UNDISTURBED,
                round(answered_percent(undisturbed(found)), 3),
                "%",
                least=ANSWERED_PERCENT,
            ),
            Figure("answer p50", round(percentile(answers, 50), 2), MS),
            Figure("answer p99", round(percentile(answers, 99), 2), MS),
            Figure("answer p99.9", round(percentile(answers, 99.9), 2), MS),
            *(
                Figure(f"memory growth of {name}", round(growth, 2), "%", most=GROWTH_PERCENT if whole else None)
                for name, growth in growths.items()
            ),
            Figure("ready again after a kill, worst", round(max(found.ready_s, default=0.0), 2), "s"),
            Figure("trades", found.trades, least=1),
            Figure("unsettled", found.unsettled, most=0),
            Figure("violations", len(found.violations), most=0),
            Figure("nodes that did not end in order", len(found.faults), most=0),
        ],
        notes={"promises": found.promises, "first probe": FIRST_PROBE},
    )
