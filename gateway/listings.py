"""The lists of the API as queries: what is in a row, in which order, and which index serves which filter. Values; nothing is run here.

A page goes on after the key of the last row (keyset), so that a deep page costs what the first one does and what comes in meanwhile
moves nothing. One equality is served by an index that has the order too; what else is asked for is judged on at most
`LOOKED_AT` rows of it, so that no combination of filters can make the store read a million rows for one answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Column, ColumnElement, Select, Table, bindparam, select, tuple_

from gateway import schema, tables
from gateway.translate import signed, unsigned

LOOKED_AT: Final = 3_000
"""Rows of an index that one page looks at; about 10 ms with SQLite."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One list. Columns by name of `table`."""

    name: str
    table: Table
    fields: tuple[str, ...]
    """Of the model, in its order."""
    order: tuple[str, ...]
    """The key that rows are sorted by; names one row."""
    time: str
    """What `from_us` and `to_us` are about; the first of `order`."""
    indexed: tuple[str, ...] = ()
    """Filters by equality that an index serves, the one that leaves the fewest rows first."""
    least: Mapping[str, str] = field(default_factory=dict)
    """Filters by a least value → column."""
    ascending: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Field or filter → column, where they differ."""
    always: str | None = None
    """A column that must not be null."""

    def column(self, name: str) -> Column[Any]:
        """The column of a field or filter."""
        return self.table.c[self.renamed.get(name, name)]

    @property
    def selected(self) -> list[Column[Any]]:
        """The columns of the fields, then those of the key that are not among them."""
        columns = [self.column(name) for name in self.fields]
        return [*columns, *(self.table.c[name] for name in self.order if self.table.c[name] not in columns)]

    @property
    def key_at(self) -> tuple[int, ...]:
        """Where the key is in a row."""
        names = [column.name for column in self.selected]
        return tuple(names.index(name) for name in self.order)

    @property
    def ids(self) -> tuple[int, ...]:
        """Where a row has ids, which JSON has as texts."""
        return tuple(number for number, name in enumerate(self.fields) if name in IDS)

    def key_of(self, row: Sequence[Any]) -> tuple[int, ...]:
        """The key of a row, as a cursor keeps it."""
        return tuple(signed(row[at]) for at in self.key_at)


IDS: Final = frozenset(
    {"battery", "aggregator", "lot_id", "auction_id", "setter", "bidder", "message_id", "node", "device_id"}
)


def _fields(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(model.model_fields)


LOTS: Final = Listing(
    "lots",
    tables.lots,
    _fields(schema.Lot),
    ("closed_us", "battery", "lot_id"),
    "closed_us",
    indexed=("battery", "state", "mechanism"),
)
TRADES: Final = Listing(
    "trades",
    tables.trades,
    _fields(schema.Trade),
    ("time_us", "battery", "lot_id"),
    "time_us",
    indexed=("battery", "aggregator", "settlement", "delivery"),
    least={"min_micro_per_kwh": "price_micro_per_kwh"},
)
SETTLEMENTS: Final = Listing(
    "settlements",
    tables.settlements,
    _fields(schema.Settlement),
    ("time_us", "battery", "lot_id"),
    "time_us",
    indexed=("battery", "aggregator", "state"),
)
SAMPLES: Final = Listing(
    "samples",
    tables.samples,
    _fields(schema.Sample),
    ("time_us",),
    "time_us",
    indexed=("device_id",),
    ascending=True,
)
EVENTS: Final = Listing(
    "events",
    tables.events,
    _fields(schema.StoredEvent),
    ("time_us", "number"),
    "time_us",
    indexed=("node", "type"),
    renamed={"node": "device_id"},
    always="seq",
)
BIDS: Final = Listing(
    "bids", tables.bids, _fields(schema.Bid), ("fork", "number"), "fork", indexed=("battery",), ascending=True
)
"""Not a list of its own: a lot's bids in order of arrival; for their columns."""
EXPORTED_BIDS: Final = Listing(
    "bids",
    tables.bids,
    ("battery", "lot_id", *_fields(schema.Bid)),
    ("battery", "fork", "number"),
    "battery",
    indexed=("battery",),
    ascending=True,
)
"""All bids, by battery: an export of a database."""
ALL: Final = {listing.name: listing for listing in (LOTS, TRADES, SETTLEMENTS, EVENTS)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part of a list. Ids among the filters are numbers; a value of None: where the column is null."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    from_us: int | None = None
    to_us: int | None = None
    after: tuple[int, ...] | None = None
    """The key that a cursor names."""


@dataclass(frozen=True, slots=True)
class Query:
    """What brings a page."""

    rows: Select[Any]
    boundary: Select[Any] | None
    """The key of the last row that was looked at, if there are more; None: rows are looked at until the page is full."""


def query(listing: Listing, wanted: Wanted, count: int) -> Query:
    """Up to `count` rows."""
    columns = listing.table.c
    served = next((name for name in listing.indexed if name in wanted.filters), None)
    conditions, fixed = _range(listing, wanted), ""
    if served is not None:
        column = listing.column(served)
        conditions.append(_equal(column, wanted.filters[served]))
        fixed = column.name if wanted.filters[served] is not None else ""
    if wanted.after is not None:
        conditions.append(_after(listing, wanted.after, fixed))
    order = [_sorted(listing, columns[name]) for name in listing.order if name != fixed]
    if served is not None and not fixed:
        order.insert(0, _sorted(listing, listing.column(served)))  # null is no constant to PostgreSQL's planner
    rest = {name: value for name, value in wanted.filters.items() if name != served}
    if not rest:
        conditions += _always(listing, columns)
        return Query(select(*listing.selected).where(*conditions).order_by(*order).limit(count), None)
    looked_at = select(*columns).where(*conditions).order_by(*order)
    keys = select(*(columns[name] for name in listing.order)).where(*conditions).order_by(*order)
    # The offset is bounded, and counts entries of the index alone.
    return Query(_judged(listing, looked_at, rest, count), keys.limit(1).offset(LOOKED_AT - 1))


def _judged(listing: Listing, looked_at: Select[Any], rest: Mapping[str, Any], count: int) -> Select[Any]:
    """The rows of the first `LOOKED_AT` that the other filters let through."""
    found = looked_at.limit(LOOKED_AT).subquery("looked_at").c
    conditions = _always(listing, found)
    for name, value in rest.items():
        if name in listing.least:
            column = found[listing.least[name]]
            conditions.append(column >= bindparam(None, value, column.type))
        else:
            conditions.append(_equal(found[listing.column(name).name], value))
    # The order is asked for once more: only the outer one is promised, only the inner one stops early.
    order = [_sorted(listing, found[name]) for name in listing.order]
    columns = [found[column.name] for column in listing.selected]
    return select(*columns).where(*conditions).order_by(*order).limit(count)


def _always(listing: Listing, columns: Any) -> list[ColumnElement[bool]]:
    return [] if listing.always is None else [columns[listing.always].is_not(None)]


def _range(listing: Listing, wanted: Wanted) -> list[ColumnElement[bool]]:
    time = listing.table.c[listing.time]
    found: list[ColumnElement[bool]] = []
    if wanted.from_us is not None:
        found.append(time >= bindparam(None, wanted.from_us, time.type))
    if wanted.to_us is not None:
        found.append(time < bindparam(None, wanted.to_us, time.type))
    return found


def _equal(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == bindparam(None, value, column.type)


def _sorted(listing: Listing, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column.asc() if listing.ascending else column.desc()


def _after(listing: Listing, key: tuple[int, ...], fixed: str) -> ColumnElement[bool]:
    """Rows behind a key, by what is left to sort by once a filter has fixed a column: as that filter's index has it."""
    pairs = [(listing.table.c[name], value) for name, value in zip(listing.order, key, strict=True) if name != fixed]
    left = tuple_(*(column for column, _ in pairs))
    right = tuple_(*(bindparam(None, _native(column, value), column.type) for column, value in pairs))
    return left > right if listing.ascending else left < right


def _native(column: Column[Any], value: int) -> int:
    return unsigned(value) if isinstance(column.type, tables.U64) else value
