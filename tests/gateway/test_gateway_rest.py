"""The routes of `/api/v1` over a small store: every list and thing, its filters, refusals, CSV, and foreign text."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway import schema, tables
from tests.gateway import story
from tests.gateway.story import BUYER, LAST_SELLER, OTHER_BUYER, SELLER, T


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, AsyncEngine]]:
    """A client, and the store behind."""
    async with story.serving(tmp_path) as found:
        yield found


@pytest.fixture
async def client(market: tuple[httpx.AsyncClient, AsyncEngine]) -> httpx.AsyncClient:
    """A client."""
    return market[0]


LISTS = {
    "/batteries": schema.Battery,
    "/aggregators": schema.Aggregator,
    f"/batteries/{SELLER}/samples": schema.Sample,
    "/lots": schema.Lot,
    "/trades": schema.Trade,
    "/settlements": schema.Settlement,
    "/events": schema.StoredEvent,
}


async def got(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    """The JSON of an answer."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def walked(client: httpx.AsyncClient, path: str, limit: int, **params: Any) -> list[Any]:
    """All pages."""
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await got(client, path, limit=limit, **params, **cursor)
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_is_of_its_model_and_the_same_page_by_page(client: httpx.AsyncClient, path: str) -> None:
    """Each item validates; pages of 1 and of 7 together are the page of 500."""
    whole = (await got(client, path, limit=500))["items"]
    assert len(whole) >= 2
    for item in whole:
        LISTS[path].model_validate(item, strict=True)
    for limit in (1, 7):
        assert await walked(client, path, limit) == whole


@pytest.mark.parametrize("path", LISTS)
async def test_a_csv_has_all_rows_of_the_list(client: httpx.AsyncClient, path: str) -> None:
    """Heading and values as in JSON, without a limit the whole list, by parameter as by Accept."""
    whole = (await got(client, path, limit=500))["items"]
    answer = await client.get(path, headers={"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-row-limit"] == "100000"
    assert answer.text == (await client.get(path, params={"format": "csv"})).text
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert list(rows[0]) == list(LISTS[path].model_fields)
    assert len(rows) == len(whole)
    for row, item in zip(rows, whole, strict=True):
        for name, value in item.items():
            if isinstance(value, int) and not isinstance(value, bool):
                assert row[name] == str(value)
            elif value is None:
                assert row[name] == ""
    limited = await client.get(path, params={"format": "csv", "limit": 2})
    assert len(limited.text.split("\r\n")) == 4


async def test_newest_first_and_stable_while_more_comes_in(market: tuple[httpx.AsyncClient, AsyncEngine]) -> None:
    """A trade that comes in between two pages is neither twice there nor moves another out."""
    client, engine = market
    whole = (await got(client, "/trades", limit=500))["items"]
    times = [item["time_us"] for item in whole]
    assert times == sorted(times, reverse=True)
    first = await got(client, "/trades", limit=10)
    async with engine.begin() as connection:
        await connection.execute(insert(tables.trades), [story.trade(number) for number in range(100, 140)])
    rest = await got(client, "/trades", limit=500, cursor=first["next_cursor"])
    assert first["items"] + rest["items"] == whole


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/trades", {"battery": str(LAST_SELLER)}),
        ("/trades", {"aggregator": str(OTHER_BUYER)}),
        ("/trades", {"settlement": "disputed"}),
        ("/trades", {"delivery": "short"}),
        ("/trades", {"battery": str(SELLER), "aggregator": str(OTHER_BUYER), "delivery": "pending"}),
        ("/lots", {"battery": str(SELLER)}),
        ("/lots", {"state": "void"}),
        ("/lots", {"mechanism": "vickrey", "state": "void"}),
        ("/settlements", {"state": "disputed"}),
        ("/settlements", {"battery": str(SELLER)}),
        ("/settlements", {"aggregator": str(BUYER)}),
        ("/events", {"type": "SecurityEvent"}),
        ("/events", {"node": str(SELLER)}),
        ("/events", {"node": str(SELLER), "type": "LotVoided"}),
    ],
)
async def test_a_filter_leaves_what_it_names(client: httpx.AsyncClient, path: str, params: dict[str, str]) -> None:
    """Exactly the items with these values, also page by page."""
    whole = (await got(client, path, limit=500))["items"]
    wanted = [item for item in whole if all(item[name] == value for name, value in params.items())]
    assert 0 < len(wanted) < len(whole)
    assert (await got(client, path, limit=500, **params))["items"] == wanted
    assert await walked(client, path, 3, **params) == wanted


async def test_other_filters(client: httpx.AsyncClient) -> None:
    """No chain, a least price, a range of time; nothing of an unknown id."""
    whole = (await got(client, "/trades", limit=500))["items"]
    unpaid = await walked(client, "/trades", 4, settlement="none")
    assert unpaid == [item for item in whole if item["settlement"] is None] != []
    dear = await walked(client, "/trades", 4, min_micro_per_kwh=155_000)
    assert dear == [item for item in whole if item["price_micro_per_kwh"] >= 155_000] != []
    first, end = T + 3_000_000, T + 6_000_000
    between = await got(client, "/trades", from_us=first, to_us=end)
    assert [item["time_us"] for item in between["items"]] == [T + 5_000_000, T + 4_000_000, first]
    assert await walked(client, "/trades", 2, battery="77") == []
    assert [item["time_us"] for item in (await got(client, f"/batteries/{SELLER}/samples", to_us=T + 2))["items"]] == [
        T,
        T + 1,
    ]


async def test_looked_at_rows_are_bounded(
    market: tuple[httpx.AsyncClient, AsyncEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few rows match, pages are short and go on; together they are all that match, each once."""
    client, _ = market
    whole = (await got(client, "/trades", limit=500))["items"]
    monkeypatch.setattr("gateway.listings.LOOKED_AT", 4)
    first = await got(client, "/trades", limit=3, min_micro_per_kwh=156_000)
    assert len(first["items"]) < 3
    assert first["next_cursor"] is not None
    assert await walked(client, "/trades", 3, min_micro_per_kwh=156_000) == [
        item for item in whole if item["price_micro_per_kwh"] >= 156_000
    ]


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("/trades", {"batery": "1"}, ["`batery`", "battery", "aggregator", "min_micro_per_kwh"]),
        ("/trades", {"battery": "x"}, ["`battery`", "'x'", "u64"]),
        ("/trades", {"battery": "018"}, ["`battery`", "leading zeros"]),
        ("/trades", {"battery": str(2**64)}, ["`battery`", str(2**64), str(2**64 - 1)]),
        ("/trades", {"battery": "-1"}, ["`battery`"]),
        ("/trades", {"limit": "0"}, ["`limit`", "'0'", "1"]),
        ("/trades", {"limit": "501"}, ["`limit`", "501", "500"]),
        ("/trades", {"limit": "100001", "format": "csv"}, ["`limit`", "100000"]),
        ("/trades", {"from_us": "5", "to_us": "5"}, ["from_us is 5", "from_us < to_us"]),
        ("/trades", {"settlement": "paid"}, ["`settlement`", "settled"]),
        ("/trades", {"cursor": "abc"}, ["`cursor`", "next_cursor"]),
        ("/trades", {"format": "xml"}, ["`format`", "csv"]),
        ("/lots", {"mechanism": "A b"}, ["`mechanism`"]),
        ("/events", {"type": "Nothing"}, ["`type`", "TradeConfirmed"]),
        ("/statistics", {"by": "colour"}, ["`by`", "bidders"]),
        ("/statistics", {"from_us": "3600000001"}, ["from_us is 3600000001", "3600000000", "7200000000"]),
        ("/overview", {"x": "1"}, ["`x`", "none"]),
        (f"/trades/{SELLER}/1", {"x": "1"}, ["`x`"]),
        ("/batteries/1x", {}, ["`device_id`", "u64"]),
    ],
)
async def test_a_wrong_parameter_is_named(
    client: httpx.AsyncClient, path: str, params: dict[str, str], words: list[str]
) -> None:
    """422 as problem+json: which parameter, what it was, what would be right."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = schema.Problem.model_validate(answer.json())
    assert all(word in problem.detail for word in words), problem.detail


async def test_a_cursor_of_another_list_or_filter_is_refused(client: httpx.AsyncClient) -> None:
    """It names a place in one list with its filters, and nowhere else."""
    given = (await got(client, "/trades", limit=2, delivery="short"))["next_cursor"]
    for path, params in (("/trades", {}), ("/trades", {"delivery": "pending"}), ("/lots", {})):
        answer = await client.get(path, params={"cursor": given, **params})
        assert answer.status_code == 422
        assert "same filters" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/batteries/500", "/aggregators/101", f"/lots/{SELLER}/7", f"/trades/{SELLER}/7", "/batteries/500/samples"]
)
async def test_what_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    """404 as problem+json that says where to look; the same for a lot_id beyond all lots."""
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "/api/v1/" in answer.json()["detail"]
    assert (await client.get(f"/trades/{SELLER}/{2**64 - 1}")).status_code == 404


async def test_the_last_u64_is_a_node_like_others(client: httpx.AsyncClient) -> None:
    """2^64 − 1 sells, 2^63 buys; lists of nodes are in the order of the numbers."""
    assert [item["device_id"] for item in (await got(client, "/batteries"))["items"]] == ["101", str(LAST_SELLER)]
    battery = schema.Battery.model_validate(await got(client, f"/batteries/{LAST_SELLER}"), strict=True)
    assert (battery.trades, battery.mechanism, battery.proven) == (20, "english", True)
    assert battery.key == "FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z"
    buyer = await got(client, f"/aggregators/{OTHER_BUYER}")
    assert (buyer["device_id"], buyer["lots_bid"], buyer["lots_won"]) == (str(2**63), 5, 4)
    one = await got(client, f"/trades/{LAST_SELLER}/1001")
    schema.TradeDetail.model_validate(one, strict=True)
    assert (one["battery"], one["network_id"], one["frames"]) == (str(LAST_SELLER), None, [])


async def test_a_lot_with_its_bids_and_trades(client: httpx.AsyncClient) -> None:
    """In order of arrival; ids whole."""
    found = schema.LotDetail.model_validate(await got(client, f"/lots/{SELLER}/1000"), strict=True)
    assert [bid.price_micro_per_kwh for bid in found.progress] == [0, 1, 2]
    assert {bid.bidder for bid in found.progress} == {str(2**63)}
    assert [trade.lot_id for trade in found.trades] == ["1000"]


async def test_online_is_what_the_gateway_sees(client: httpx.AsyncClient) -> None:
    """Nobody is connected here."""
    assert (await got(client, "/batteries", online=True))["items"] == []
    assert len((await got(client, "/batteries", online=False))["items"]) == 2


async def test_the_overview_adds_up(client: httpx.AsyncClient) -> None:
    """The sums of the batteries, each trade once."""
    found = schema.Overview.model_validate(await got(client, "/overview"), strict=True)
    trades = [story.trade(number) for number in range(40)]
    assert (found.trades, found.sold_wh) == (40, sum(each["energy_wh"] for each in trades))
    assert found.paid_micro == sum(each["paid_micro"] for each in trades)
    assert (found.lots, found.unsettled, found.security_events) == (10, 13, 20)


async def test_foreign_text_is_data(client: httpx.AsyncClient) -> None:
    """A script and an escape sequence of a node come as JSON texts and quoted CSV; a formula becomes a text."""
    answer = await client.get("/settlements")
    assert "\x1b" not in answer.text
    assert {item["reason"] for item in answer.json()["items"]} == {story.HOSTILE, "=HYPERLINK(0)"}
    table = (await client.get("/settlements", params={"format": "csv"})).text
    assert ",=HYPERLINK" not in table
    assert ",'=HYPERLINK(0)," in table
    assert (await client.get("/settlements")).headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", [*LISTS, "/overview", "/statistics", "/latency", "/schemas/events"])
async def test_head_options_and_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    """HEAD says what GET would, OPTIONS what there is; what would change something is refused."""
    head = await client.head(path)
    assert head.status_code == 200
    assert head.headers["content-type"] == (await client.get(path)).headers["content-type"]
    options = await client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await client.request(method, path)).status_code == 405


async def test_schemas_are_known_by_their_tag(client: httpx.AsyncClient) -> None:
    """The same again is not sent again."""
    answer = await client.get("/schemas/events")
    assert answer.json()["$defs"]["TradeConfirmed"]["properties"]["type"] == {"enum": ["TradeConfirmed"]}
    again = await client.get("/schemas/events", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
