"""Latencies of nodes added up, by message type, beside the budget of each. Pure: texts of queries, and what their rows say.

A thousand nodes have ten thousand histograms of some twenty buckets. The database adds them up, which holds up nobody; done here
it would be a tenth of a second in which no other request is answered.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from etp.codes import MessageType
from etp.timing import REPLY_BUDGET_MS, TIMING
from runtime.histogram import BUCKETS, Histogram

_ORDER: Final = {kind.name: kind.value for kind in MessageType}
AGE: Final = "age"


class Texts(NamedTuple):
    """Two queries, of all nodes or of `:node`: (what, message, bucket, count), and (what, message, count, over, worst)."""

    buckets: str
    wholes: str


def _texts(each: str, value: str, number: str) -> Texts:
    """`each`: a table of a histogram's buckets; `number`: a number of it, by name."""
    wholes = ", ".join(
        f"{how}({number.format(name)})" for how, name in (("SUM", "count"), ("SUM", "over_budget"), ("MAX", "worst_ms"))
    )
    return Texts(
        f"SELECT l.what, l.message, e.key, SUM({value}) FROM latencies l, {each} e {{where}} GROUP BY 1, 2, 3",  # noqa: S608
        f"SELECT l.what, l.message, {wholes} FROM latencies l {{where}} GROUP BY 1, 2",  # noqa: S608
    )


TEXTS: Final = {
    "sqlite": _texts("json_each(l.histogram, '$.buckets')", "e.value", "json_extract(l.histogram, '$.{}')"),
    "postgresql": _texts(
        "jsonb_each_text(CAST(l.histogram AS jsonb) -> 'buckets')",
        "CAST(e.value AS bigint)",
        "CAST(CAST(l.histogram AS jsonb) ->> '{}' AS float8)",
    ),
}
"""By dialect: both have JSON functions, and not one of the same name."""
OF_ONE: Final = "WHERE l.device_id = :node"


def texts(dialect: str, *, of_one: bool) -> Texts:
    """The queries for a dialect."""
    return Texts(*(text.format(where=OF_ONE if of_one else "") for text in TEXTS[dialect]))


def budget_ms(what: str, message: str) -> float:
    """How long a message of this type may take: its max delay on arrival, or the reply budget."""
    return float(TIMING[MessageType[message]].max_delay_ms) if what == AGE else float(REPLY_BUDGET_MS)


def latencies(
    buckets: Iterable[Sequence[Any]], wholes: Iterable[Sequence[Any]], node: str | None
) -> list[dict[str, Any]]:
    """The fields of `schema.LatencyRow`, by type, from the rows of both queries; `node`: whose, None: of all together."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for what, message, bucket, count in buckets:
        if str(bucket).isdecimal() and int(bucket) < BUCKETS:
            found.setdefault((what, message), {})[str(bucket)] = int(count)
    known = [whole for whole in wholes if whole[1] in _ORDER and whole[2]]
    known.sort(key=lambda whole: (whole[0], _ORDER[whole[1]]))
    return [_row(whole, found.get((whole[0], whole[1]), {}), node) for whole in known]


def _row(whole: Sequence[Any], buckets: dict[str, int], node: str | None) -> dict[str, Any]:
    what, message, count, over_budget, worst_ms = whole
    histogram = Histogram()
    histogram.add(
        {"count": int(count), "over_budget": int(over_budget), "worst_ms": float(worst_ms), "buckets": buckets}
    )
    return {
        "what": what,
        "message": message,
        "node": node,
        "budget_ms": budget_ms(what, message),
        "count": histogram.count,
        "over_budget": histogram.over_budget,
        "p50_ms": round(histogram.percentile(50), 3),
        "p90_ms": round(histogram.percentile(90), 3),
        "p99_ms": round(histogram.percentile(99), 3),
        "worst_ms": round(histogram.worst_ms, 3),
    }
