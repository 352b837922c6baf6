"""What a bench found: figures, the limits they are held to, and whether they are met. Knows no bench and no output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

MS: Final = "ms"
PERCENTILES: Final = ((50.0, "p50"), (99.0, "p99"), (99.9, "p99.9"), (100.0, "max"))


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, with its limit if it has one."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether it is within its limit; None: it has none. NaN meets nothing."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def limit(self) -> str:
        """The limit as text."""
        bounds = (("≤", self.most), ("≥", self.least))
        return " ".join(f"{sign} {shown(bound)}" for sign, bound in bounds if bound is not None)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        limits = {"most": self.most, "least": self.least, "met": self.met} if self.met is not None else {}
        return {"name": self.name, "value": self.value, "unit": self.unit} | limits


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one bench and the load they were measured under."""

    load: str
    figures: Sequence[Figure]
    notes: Mapping[str, int] = field(default_factory=dict)
    """Counts that explain the figures."""

    @property
    def ok(self) -> bool:
        """Whether no limit is exceeded."""
        return all(figure.met is not False for figure in self.figures)

    def value(self, name: str) -> float:
        """The figure of that name. Raises KeyError."""
        return {figure.name: figure.value for figure in self.figures}[name]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        figures = [figure.as_dict() for figure in self.figures]
        return {"ok": self.ok, "load": self.load, "figures": figures, "notes": dict(self.notes)}


def shown(value: float) -> str:
    """A number as people read it."""
    hundred = 100
    return f"{value:,.0f}" if abs(value) >= hundred or value == int(value) else f"{value:.3g}"


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that `percent` of all do not exceed, by nearest rank; NaN without any."""
    if not ordered:
        return float("nan")
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def spread(
    name: str, values_ms: Sequence[float], *, most_p99: float | None = None, most: float | None = None
) -> list[Figure]:
    """p50, p99, p99.9 and the worst of some latencies, ms."""
    ordered = sorted(values_ms)
    limits = {"p99": most_p99, "max": most}
    return [
        Figure(f"{name} {label}", round(percentile(ordered, percent), 3), MS, most=limits.get(label))
        for percent, label in PERCENTILES
    ]
