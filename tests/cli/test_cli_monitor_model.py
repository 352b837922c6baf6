"""What the monitor knows and draws, without a terminal: bounded, harmless, in exactly the width it has."""

from datetime import UTC, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cli.monitor import world
from cli.monitor.details import details, evidence, value_of
from cli.monitor.screen import Link, View, as_text, draw, fold, page
from cli.monitor.tables import TABS, rows_of
from cli.monitor.things import Gap
from cli.monitor.words import brief, clean, fit, full_time, milliseconds, moment, span
from cli.monitor.world import Known
from gateway.client import Happened, Missed, World
from gateway.events import (
    EVENTS,
    AnyEvent,
    EnergyDelivered,
    EnergyDepleted,
    Event,
    LotVoided,
    OpenLot,
    ReservationReleased,
    SettlementUpdated,
    Snapshot,
    Totals,
)
from tests.streaming import NOON_US, at, battery, buyer, forged, leads, metrics, opened, paid, sold


def known(*events: Event) -> Known:
    """What is known after these."""
    found = Known()
    found.take(happened(*events))
    return found


def happened(*events: Event) -> Happened:
    return Happened(tuple(msgspec.structs.replace(event, seq=seq) for seq, event in enumerate(events, 1)))  # type: ignore[misc]


def view_of(found: Known) -> View:
    return View(Link("127.0.0.1:8080", "live", heard_s=0.0), UTC, found)


# -- words


@given(st.text(), st.integers(0, 40), st.sampled_from(["left", "right"]))
def test_a_text_fits_exactly(text: str, width: int, align: str) -> None:
    """Whatever it is, in cells of the terminal, wide characters included."""
    fitted = fit(clean(text), width, align)  # type: ignore[arg-type]
    assert cell_len(fitted) == width


@given(st.text(max_size=200))
def test_a_clean_text_is_harmless(text: str) -> None:
    """Nothing in it moves the cursor, hides or turns round what is beside it; what was harmless is kept."""
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert cleaned.isprintable()
    assert not set(cleaned) & set("\x1b\u202e\u200b\u0301\x9b\x7f\n\r\t\u2028")
    assert clean(cleaned) == cleaned


def test_a_long_text_is_cut() -> None:
    """A megabyte is not looked at."""
    assert len(clean("x" * 1_000_000)) == 2_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.26, "0.3 s"), (59.6, "60 s"), (121, "2 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_spans(seconds: float, text: str) -> None:
    """In a fitting unit."""
    assert span(seconds) == text


def test_times_are_of_the_viewers_zone_and_in_replays_the_markets() -> None:
    """A node may say any number."""
    brisbane = timezone(timedelta(hours=10))
    assert moment(NOON_US, NOON_US, UTC) == "14:13:20"
    assert moment(NOON_US, NOON_US, brisbane) == "00:13:20"
    assert moment(NOON_US, 1_590_000_000_000_000, brisbane) == "21 May 04:40"
    assert full_time(NOON_US, brisbane).endswith("2026 00:13:20.000000 UTC+10:00")
    for wild in (-(2**63), 2**63, 2**200):
        assert full_time(wild, UTC)
        assert len(fit(moment(wild, 0, UTC), 12)) == 12


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("energy_wh", 2500, "2.50 kWh (2,500 Wh)"),
        ("price_micro_per_kwh", 184_834, "18.48 c/kWh (184,834 u/kWh)"),
        ("paid_micro", 750_000, "75.00 c (750,000 u)"),
        ("temperature_mc", -1500, "-1.5 degrees C"),
        ("voltage_mv", 57_857, "57.857 V"),
        ("discharge_w", 5000, "5,000 W"),
        ("worst_ms", 612.5, "612.500 ms"),
        ("closes_us", 0, "-"),
        ("online", False, "no"),
        ("bids", 1200, "1,200"),
        ("failure", None, "-"),
        ("failure", "\x1b[31m", "?[31m"),
    ],
)
def test_values_have_units(name: str, value: object, text: str) -> None:
    """By the last word of their names."""
    assert value_of(name, value, UTC) == text


@given(st.none() | st.integers(-(10**15), 10**15), st.sampled_from([1000, 10_000]))
def test_a_brief_amount_is_brief(value: int | None, per_unit: int) -> None:
    """Seven cells hold it, with its sign eight; small ones have both their decimals."""
    assert len(brief(value, per_unit).lstrip("-")) <= 7
    assert brief(100_000_000, 1000) == "100,000"
    assert brief(184_834, 10_000) == "18.48"


def test_short_times() -> None:
    """Four digits are enough."""
    assert [milliseconds(value) for value in (0.04, 9.96, 99.9, 1234.5)] == ["0.0", "10.0", "99.9", "1,234"]


# -- what is known


def test_a_lot_goes_its_way() -> None:
    """Open, led, promised, confirmed; one line all the time."""
    found = Known()
    expected = ["open", "open", "open", "reserved", "reserved", "confirmed"]
    for event, state in zip([opened(), leads(), *sold()], expected, strict=True):
        found.take(happened(event))
        (row,) = rows_of(TABS[0], found, UTC)
        assert row.cells[2] == state
    assert row.cells[-1] == "500"


def test_a_promise_that_ends_and_a_lot_that_is_void() -> None:
    """Both are listed with why, and neither is a trade."""
    common = {"lot_id": "7001", "auction_id": "7001", "bidder": "500", "energy_wh": 5_000}
    released = ReservationReleased(**at(101, 1.0, id="r"), **common, reason="timeout")  # type: ignore[arg-type]
    told = {"lot_id": "8", "mechanism": "vickrey", "energy_wh": 100, "opened_us": NOON_US, "bids": 1, "bidders": 1}
    found = known(opened(), *sold()[:3], released, LotVoided(**at(102, 2.0, id="v"), **told))
    assert {row.cells[2] for row in rows_of(TABS[0], found, UTC)} == {"released", "void"}
    assert any(
        "timeout" in line.text for row in rows_of(TABS[0], found, UTC) for line in details(row.thing, found, UTC)
    )
    assert not found.trades


def test_a_battery_offers_one_lot_at_a_time() -> None:
    """The next one, nothing left, or a lost connection ends the one before."""
    for event in (opened(lot=7002), EnergyDepleted(**at(101), stored_wh=0), battery(online=False)):
        found = known(opened(), opened(102, 9000), event)
        assert ("101", "7001") not in found.lots
        assert ("102", "9000") in found.lots


def test_a_trade_goes_on() -> None:
    """Confirmed, being paid, paid, delivered; totals follow, once each."""
    asked = {"lot_id": "7001", "aggregator": "500", "amount_micro": 750_000, "state": "settling", "reason": "sent"}
    told = {"lot_id": "7001", "aggregator": "500", "energy_wh": 5_000, "delivered_wh": 4_000, "short": True}
    settling = SettlementUpdated(**at(101, 1.0, id="s"), **asked)  # type: ignore[arg-type]
    delivered = EnergyDelivered(**at(101, 3.0, id="d"), **told)  # type: ignore[arg-type]
    found = known(*sold(), settling)
    assert rows_of(TABS[3], found, UTC)[0].cells[-1] == "settling"
    found.take(happened(paid(), delivered, *sold()))
    assert rows_of(TABS[3], found, UTC)[0].cells[-2:] == ("short", "settled")
    assert found.totals == Totals(1, 5_000, 750_000, 1, 750_000)


def test_a_snapshot_replaces_what_was_known() -> None:
    """Its totals and lots count; trades heard before stay; another store's do not."""
    found = known(opened(), *sold(lot=7001), battery(109))
    lot = OpenLot("101", "7002", "english", 5_000, None, None, None, 1, NOON_US, None)
    trade = sold(lot=7005)[-1]
    shot = Snapshot(
        "e1", 9, NOON_US, False, [battery(101)], [buyer()], [metrics()], [lot], [trade], Totals(2, 3, 4, 5, 6)
    )  # type: ignore[list-item]
    found.take(World(shot))
    assert list(found.batteries) == ["101"]
    assert list(found.lots) == [("101", "7002")]
    assert [key[1] for key in found.trades] == ["7001", "7005"]
    assert found.totals == Totals(2, 3, 4, 5, 6)
    found.take(World(msgspec.structs.replace(shot, epoch="e2", trades=[])))
    assert found.trades == {}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every collection keeps the newest, up to its maximum, however much comes."""
    monkeypatch.setattr(world, "MAX_NODES", 5)
    monkeypatch.setattr(world, "MAX_TRADES", 7)
    monkeypatch.setattr(world, "MAX_ENDED_LOTS", 6)
    found = Known()
    for number in range(3_000):
        node = 100 + number
        found.take(happened(battery(node), buyer(node), metrics(node), opened(node, number), *sold(node, number)))
        found.take(Missed("away", durable=True))
    assert (len(found.batteries), len(found.aggregators), len(found.metrics)) == (5, 5, 5)
    assert (len(found.trades), len(found.ended), len(found.entries)) == (7, 6, world.MAX_EVENTS)
    assert len(found.lots) <= 5
    assert list(found.batteries)[-1] == "3099"
    assert isinstance(found.entries[-1], Gap)


def test_every_type_of_event_has_words_and_details() -> None:
    """None is forgotten when a type is added."""
    sample: dict[type, object] = {int: 7, str: "7", bool: True, list: []}
    for kind in EVENTS.values():
        values = {}
        for one in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
            name = type(one.type).__name__
            values[one.name] = sample[
                {"IntType": int, "StrType": str, "BoolType": bool, "ListType": list}.get(name, str)
            ]
            if name == "UnionType":
                values[one.name] = None
        event: AnyEvent = kind(**(values | {"node": "7", "id": "x"}))  # type: ignore[assignment]
        found = Known(all_events=True)
        found.take(Happened((event,)))
        (row,) = rows_of(TABS[5], found, UTC)
        assert row.cells[2] == kind.__name__
        assert row.cells[3]
        text = "\n".join(line.text for line in details(row.thing, found, UTC))
        assert all(name in text for name in values if name != "latencies"), kind


# -- the screen


@given(st.integers(1, 200), st.integers(1, 60), st.text(max_size=30), st.integers(0, 5))
def test_the_screen_has_its_size(width: int, height: int, words: str, tab: int) -> None:
    """Whatever the size, the filter and the table."""
    view = view_of(known(opened(), leads(), *sold(), battery(failure="字" * 30), forged()))
    view.tab, view.words = tab, words
    drawn = draw(view, now_s=1.0, width=width, height=height)
    assert len(drawn) == height
    assert {sum(cell_len(part.text) for part in line) for line in drawn} == {width}


def test_the_link_is_told_in_words() -> None:
    """Each state with the age of the data."""
    link = Link("g")
    assert link.told(5.0) == ("connecting, no data yet", "warn")
    link.state, link.heard_s = "live", 4.8
    assert link.told(5.0) == ("live, data 0.2 s old", "good")
    assert link.told(15.0) == ("live, data 10 s old", "warn")
    link.state, link.retry_at_s = "lost", 18.0
    assert link.told(15.0) == ("LOST, data 10 s old, again in 3.0 s", "bad")


def test_a_page_folds_and_cuts_nothing() -> None:
    """Every character of a value is somewhere; each line is as wide as the screen."""
    from cli.monitor.details import Line

    text = "".join(chr(0x4E00 + number) for number in range(200))
    lines = fold([Line(f"name  {text}"), Line("")], 40)
    assert "".join(line.text.replace("    ", "") for line in lines).endswith(text)
    drawn = page("title", lines, top=2, width=40, height=10)
    assert {sum(cell_len(part.text) for part in line) for line in drawn} == {40}
    assert len(drawn) == 10


def test_for_a_pipe() -> None:
    """All tables, in ASCII, with what is there."""
    text = as_text(view_of(known(opened(), *sold(), battery(), buyer(), metrics())), width=100)
    for word in ("LOTS", "BATTERIES", "AGGREGATORS", "TRADES", "LATENCY", "confirmed", "aggressive"):
        assert word in text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100


@given(st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["frames", "rows", "raw", "key", "body", "what", "network_id", "time_us", "seq"]), inner), max_leaves=12))  # fmt: skip
def test_evidence_of_any_shape_is_text(value: object) -> None:
    """Whatever a gateway answers, nothing raises and nothing acts."""
    for detail in ({"frames": value, "rows": value, "network_id": value}, value if isinstance(value, dict) else {}):
        assert all(line.text.isprintable() for line in evidence(detail, UTC))
