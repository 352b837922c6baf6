"""What may be asked for: the parameters of every list, their ranges, and nothing beside them. Ids as texts, checked as u64."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway import events
from gateway.bodies import LAST_I64, LAST_TIME_US, LAST_U64, MOST_MICRO_PER_KWH
from gateway.rollups import HOUR_US
from gateway.schema import SettlementState

MOST_ITEMS: Final = 500
"""Of a page: about 250 kB of trades, 10 ms of work."""
ITEMS: Final = 100
MOST_CSV_ROWS: Final = 100_000
"""Of one CSV answer, which streams: about 20 MB and 10 s, within the time that a request has. `etp gateway export` has no end."""
TYPES: Final = tuple(events.EVENTS)


def _u64(text: str) -> str:
    if int(text) > LAST_U64:
        raise ValueError(f"expected a number of at most {LAST_U64}")
    return text


U64Text: TypeAlias = Annotated[
    str,
    Field(pattern="^(0|[1-9][0-9]{0,19})$", max_length=20, description="a u64 in decimal", examples=["101"]),
    AfterValidator(_u64),
]
WallTime: TypeAlias = Annotated[int, Field(ge=0, le=LAST_TIME_US)]


class Asked(BaseModel):
    """Parameters, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ListAsked(Asked):
    """What every list takes."""

    limit: int | None = Field(
        None,
        ge=1,
        le=MOST_CSV_ROWS,
        description=f"items of a page, 1 to {MOST_ITEMS}, {ITEMS} where it is not given; as csv up to {MOST_CSV_ROWS} rows, which is"
        " also what comes where it is not given",
    )
    cursor: str | None = Field(
        None, max_length=256, description="`next_cursor` of the page before, with the same filters"
    )
    format: Literal["json", "csv"] | None = Field(
        None, description="json, or csv with a heading; also by `Accept: text/csv`"
    )

    @model_validator(mode="after")
    def _bounds(self) -> "ListAsked":
        if self.format == "json" and self.limit is not None and self.limit > MOST_ITEMS:
            raise ValueError(f"limit is {self.limit}: a page of json has at most {MOST_ITEMS} items")
        return self

    def filters(self) -> dict[str, Any]:
        """What narrows the list, as the texts and numbers that were given."""
        return self.model_dump(exclude={"limit", "cursor", "format"}, exclude_none=True)


class TimedAsked(ListAsked):
    """A list with times."""

    from_us: WallTime | None = Field(None, description="not before, µs since 1970 (UTC)")
    to_us: WallTime | None = Field(None, description="before, µs since 1970 (UTC)")

    @model_validator(mode="after")
    def _order(self) -> "TimedAsked":
        check_order(self.from_us, self.to_us)
        return self


def check_order(from_us: int | None, to_us: int | None) -> None:
    """Raises ValueError where a range is empty."""
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise ValueError(f"from_us is {from_us} and to_us {to_us}: expected from_us < to_us")


class BatteriesAsked(ListAsked):
    """Filters of batteries."""

    online: bool | None = Field(None, description="only those that are connected now, or only those that are not")


class AggregatorsAsked(ListAsked):
    """Filters of aggregators."""

    online: bool | None = Field(None, description="only those that are connected now, or only those that are not")


class SamplesAsked(TimedAsked):
    """Filters of a battery's samples."""


class LotsAsked(TimedAsked):
    """Filters of lots; times are of their end."""

    battery: U64Text | None = None
    state: Literal["reserved", "void"] | None = None
    mechanism: str | None = Field(None, pattern="^[a-z0-9_-]{1,24}$", description="such as english")


class TradesAsked(TimedAsked):
    """Filters of trades; times are of the confirmation."""

    battery: U64Text | None = None
    aggregator: U64Text | None = None
    settlement: Literal[SettlementState, "none"] | None = Field(
        None, description="where its payment stands; none: its market is on no chain"
    )
    delivery: Literal["pending", "delivered", "short"] | None = None
    min_micro_per_kwh: int | None = Field(None, ge=0, le=MOST_MICRO_PER_KWH, description="at least this price, µ/kWh")


class SettlementsAsked(TimedAsked):
    """Filters of settlements; times are of the newest change."""

    battery: U64Text | None = None
    aggregator: U64Text | None = None
    state: SettlementState | None = None


class EventsAsked(TimedAsked):
    """Filters of stored events."""

    type: Literal[TYPES] | None = None  # type: ignore[valid-type]
    node: U64Text | None = Field(None, description="who reported it")


class StatisticsAsked(Asked):
    """Which trades, and by what they are grouped."""

    by: Literal["all", "hour", "hour_of_day", "battery", "aggregator", "bidders"] = "all"
    battery: U64Text | None = None
    aggregator: U64Text | None = None
    from_us: WallTime | None = Field(None, description="not before: where an hour of market time begins, µs since 1970")
    to_us: WallTime | None = Field(None, description="before: where an hour of market time begins, µs since 1970")

    @model_validator(mode="after")
    def _hours(self) -> "StatisticsAsked":
        check_order(self.from_us, self.to_us)
        for name, value in (("from_us", self.from_us), ("to_us", self.to_us)):
            if value is not None and value % HOUR_US:
                whole = value // HOUR_US * HOUR_US
                raise ValueError(
                    f"{name} is {value}: trades are added up by the hour, so expected {whole} or {whole + HOUR_US}"
                )
        return self


class LatencyAsked(Asked):
    """Whose latencies."""

    node: U64Text | None = Field(None, description="of one node; all together where it is not given")


class NothingAsked(Asked):
    """No parameters."""


def stored_id(text: str) -> int:
    """A checked id as a number."""
    return int(text)


def lot_number(text: str) -> int | None:
    """A lot's id; None: no lot has such a one."""
    number = int(text)
    return number if number <= LAST_I64 else None
