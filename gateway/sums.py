"""Which sums answer a question about trades: the fewest rows that hold it, as a query. Nothing is run here.

`tables.sums` knows hour, battery, aggregator and bidders; `tables.rollups` knows less of each and has far fewer rows. A range of time
over the days of members is made of whole days from the rollups and of hours from the sums at its ends.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Float, Select, Table, case, func, literal_column, select, union_all

from gateway import rollups, tables
from gateway.bodies import MOST_COUNT
from gateway.rollups import DAY_US, HOUR_US

MOST_GROUPS: Final = 10_000
"""Of one answer: 14 months of hours, 2.5 MB."""
_MEASURES: Final = (
    *("trades", "energy_wh", "paid_micro", "feed_in_wh", "feed_in_micro", "first_wh", "first_micro"),
    *("w2", "w2p", "w2p2"),
)
_HALF: Final = 1 << 32
_MEMBERS: Final = {"battery": rollups.BATTERIES, "aggregator": rollups.AGGREGATORS}


class Question(NamedTuple):
    """What is asked: groups, filters (ids as numbers), and whole hours of market time."""

    by: str
    battery: int | None
    aggregator: int | None
    from_us: int | None
    to_us: int | None


class Part(NamedTuple):
    """Rows that hold a part of the answer."""

    table: Table
    key: ColumnElement[Any] | None
    conditions: list[ColumnElement[bool]]


def capped_sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column added up, 0 without rows; an integer's sum stops at what JSON's readers know exactly, as those that are stored do.

    SQLite fails where a sum does not fit into 64 bits, and a thousand sums at their cap do not: so the halves of 32 bits are added up.
    """
    if isinstance(column.type, Float):
        return func.coalesce(func.sum(column), 0.0)
    high = func.coalesce(func.sum(column.op("/")(_constant(_HALF))), _constant(0))
    low = func.coalesce(func.sum(column.op("%")(_constant(_HALF))), _constant(0))
    most, half = _constant(MOST_COUNT), _constant(_HALF)
    total = high * half + low
    return case((total > most, most), else_=total)


def _constant(value: int) -> ColumnElement[int]:
    """In the text, not as a parameter: the database sees that two sums are the same one."""
    return literal_column(str(value))


def query(asked: Question) -> Select[Any]:
    """The query whose rows (key, measures) are the answer."""
    parts = _parts(asked)
    if len(parts) == 1:
        return _grouped(*parts[0])
    rows = union_all(*(select(_keyed(part.key), *_measured(part)).where(*part.conditions) for part in parts)).subquery()
    measures = [capped_sum(rows.c[name]).label(name) for name in _MEASURES]
    return select(rows.c.key, *measures).group_by(rows.c.key).limit(MOST_GROUPS + 1)


def _keyed(key: ColumnElement[Any] | None) -> ColumnElement[Any]:
    return (literal_column("0") if key is None else key).label("key")


def _measured(part: Part) -> list[ColumnElement[Any]]:
    return [part.table.c[name] for name in _MEASURES]


def _parts(asked: Question) -> list[Part]:
    if asked.battery is not None or (asked.aggregator is not None and asked.by == "battery"):
        return [_of_sums(asked, asked.from_us, asked.to_us)]
    if asked.aggregator is not None:
        return [_of_hours(asked, rollups.BUYER_HOURS, asked.aggregator)]
    if asked.by in _MEMBERS:
        return _of_members(asked)
    return [_of_hours(asked, rollups.HOURS, rollups.NOBODY)]


def _of_sums(asked: Question, from_us: int | None, to_us: int | None) -> Part:
    columns = tables.sums.c
    conditions = _range(columns.hour_us, from_us, to_us)
    if asked.battery is not None:
        conditions.append(columns.battery == asked.battery)
    if asked.aggregator is not None:
        conditions.append(columns.aggregator == asked.aggregator)
    key = {
        "hour": columns.hour_us,
        "hour_of_day": _hour_of_day("hour_us"),
        "battery": columns.battery,
        "aggregator": columns.aggregator,
        "bidders": columns.bidders,
    }.get(asked.by)
    return Part(tables.sums, key, conditions)


def _of_hours(asked: Question, level: str, member: int) -> Part:
    columns = tables.rollups.c
    conditions = [
        columns.level == level,
        columns.member == member,
        *_range(columns.span_us, asked.from_us, asked.to_us),
    ]
    key = {
        "hour": columns.span_us,
        "hour_of_day": _hour_of_day("span_us"),
        "aggregator": columns.member,
        "bidders": columns.bidders,
    }.get(asked.by)
    return Part(tables.rollups, key, conditions)


def _of_members(asked: Question) -> list[Part]:
    from_us, to_us = asked.from_us, asked.to_us
    if from_us is None and to_us is None:
        return [_days(asked.by, rollups.ALL_TIME, rollups.ALL_TIME + 1)]
    first_us = 0 if from_us is None else -(-from_us // DAY_US) * DAY_US
    end_us = None if to_us is None else to_us // DAY_US * DAY_US
    if end_us is not None and first_us >= end_us:
        return [_of_sums(asked, from_us, to_us)]
    found = [_days(asked.by, first_us, end_us)]
    if from_us is not None and from_us < first_us:
        found.append(_of_sums(asked, from_us, first_us))
    if to_us is not None and end_us is not None and end_us < to_us:
        found.append(_of_sums(asked, end_us, to_us))
    return found


def _days(by: str, from_us: int, to_us: int | None) -> Part:
    columns = tables.rollups.c
    conditions = [columns.level == _MEMBERS[by], *_range(columns.span_us, from_us, to_us)]
    return Part(tables.rollups, columns.member, conditions)


def _range(column: ColumnElement[int], from_us: int | None, to_us: int | None) -> list[ColumnElement[bool]]:
    lower = [] if from_us is None else [column >= from_us]
    return lower if to_us is None else [*lower, column < to_us]


def _hour_of_day(column: str) -> ColumnElement[int]:
    """Integers divide as integers in both databases; constants are in the text, since PostgreSQL groups by equal texts."""
    return literal_column(f"{column} / {HOUR_US} % 24")


def _grouped(table: Table, key: ColumnElement[Any] | None, conditions: list[ColumnElement[bool]]) -> Select[Any]:
    measures = [capped_sum(table.c[name]).label(name) for name in _MEASURES]
    found = select(_keyed(key), *measures).where(*conditions).limit(MOST_GROUPS + 1)
    return found if key is None else found.group_by(key)
