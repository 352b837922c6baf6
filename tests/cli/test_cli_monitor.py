"""`etp monitor` on a terminal of 80×24, fed by a real stream: each key, filter, pause, details, loss and return of the gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from cli.monitor.app import Monitor
from cli.monitor.widgets import Lines, Page
from etp import messages
from etp.codes import Role
from etp.effects import Envelope
from etp.frame import encode
from etp.units import DeviceId, MicroPerKwh, Wh
from gateway.place import parse_place
from tests.signing import NETWORK, pair, profile_of
from tests.streaming import NOON_US, Gateway, battery, buyer, forged, leads, metrics, opened, paid, running, sold

SIZE = (80, 24)


class Desk:
    """The monitor under a pilot."""

    def __init__(self, app: Monitor, pilot: Pilot[Any], gateway: Gateway) -> None:
        self.app, self.pilot, self.gateway = app, pilot, gateway

    def lines(self) -> list[str]:
        """What the terminal shows."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines())

    async def press(self, *keys: str) -> list[str]:
        """Press keys; what is shown then."""
        await self.pilot.press(*keys)
        await self.pilot.pause()
        return self.lines()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what is shown to make it true."""
        async with asyncio.timeout(30):
            while not condition():
                await self.pilot.pause(0.02)

    async def see(self, *words: str) -> None:
        """Until all of these are on the screen."""
        await self.until(lambda: all(word in self.text for word in words))


@asynccontextmanager
async def watching(gateway: Gateway | None = None, *, key: str | None = None) -> AsyncIterator[Desk]:
    """A gateway with two batteries and a buyer, and a monitor that is live."""
    served = gateway or Gateway()
    if not served.batteries:
        served.batteries, served.buyers, served.metrics = [battery(101), battery(102)], [buyer()], [metrics()]
    async with running(served):
        app = Monitor(parse_place(served.url), api_key=key, redraw_s=0.02)
        async with app.run_test(size=SIZE) as pilot:
            desk = Desk(app, pilot, served)
            await desk.see("live")
            yield desk


async def test_the_screen_is_80_by_24_ascii() -> None:
    """Every table fits, with a heading, its keys, and nothing that a plain console cannot show."""
    async with watching() as desk:
        desk.gateway.publish(opened(), leads(), *sold(), opened(102, 8000), forged())
        await desk.see("102", "open", "confirmed")
        for key, word in zip("123456", ("mechanism", "for sale", "strategy", "confirmed", "p99", "event"), strict=True):
            lines = await desk.press(key)
            assert [len(line) for line in lines] == [80] * 24
            assert all(line.isascii() for line in lines)
            assert word in lines[2]
            assert lines[0].startswith("ETP 127.0.0.1:")
            assert "q quit" in lines[-1]
            assert "~" not in "".join(lines), "nothing is cut off"


async def test_tables_show_what_happens() -> None:
    """A lot from its opening to its payment, on every table that it touches."""
    async with watching() as desk:
        desk.gateway.publish(opened(), leads())
        await desk.see("101     open      english         5.00  15.05  15.00      2")
        desk.gateway.publish(*sold())
        await desk.see("101     confirmed english         5.00  12.00  15.00      2     500")
        await desk.press("4")
        await desk.see("101       500         5.00   15.00    75.00      2")
        desk.gateway.publish(paid())
        await desk.see("settled", "trades 1, settled 1, 5.00 kWh, 75.00 c")
        await desk.press("6")
        await desk.see("500 buys 5.00 kWh at 15.00 c/kWh", "500 paid 75.00 c")
        await desk.press("5")
        await desk.see("500       ACCEPT         reply      120    2.5    3.5    9.2     612   500     1")
        await desk.press("3")
        await desk.see("500       online  aggressive      6.75    2.00    0.50    30.00  15.00         3")


async def test_tables_are_reached_by_keys() -> None:
    """Numbers, Tab, Shift-Tab and arrows, round and round."""
    async with watching() as desk:
        for key, expected in [
            ("tab", 1),
            ("tab", 2),
            ("right", 3),
            ("shift+tab", 2),
            ("left", 1),
            ("left", 0),
            ("left", 5),
            ("tab", 0),
            ("4", 3),
        ]:
            await desk.press(key)
            assert desk.app.view.tab == expected, key


async def test_a_filter_shows_rows_with_all_its_words() -> None:
    """While it is typed; Enter keeps it over all tables, Escape takes it away."""
    gateway = Gateway()
    gateway.batteries = [battery(101), battery(102, failure="inverter"), battery(210)]
    async with watching(gateway) as desk:
        await desk.press("2")
        await desk.see("101", "INVERTER", "210")
        await desk.press("slash", *"10")
        await desk.see("101", "INVERTER", "210", "filter 10")
        await desk.press("2", "space", *"inv")
        await desk.until(lambda: "INVERTER" in desk.text and "101" not in desk.text.partition("battery")[2])
        assert desk.app.view.tab == 1, "typing is no table key"
        assert desk.app.view.paused is None
        await desk.press("enter", "1")
        await desk.see("No row holds '102 inv'")
        await desk.press("escape", "2")
        await desk.see("101", "INVERTER", "210")


async def test_pause_stands_still_and_loses_nothing() -> None:
    """The screen stays; what came meanwhile is counted, and there afterwards."""
    async with watching() as desk:
        desk.gateway.publish(opened())
        await desk.see("101     open")
        before = (await desk.press("space"))[1:-2]
        desk.gateway.publish(*sold())
        await desk.see("PAUSED, 4 new events")
        assert desk.lines()[1:-2] == before
        await desk.press("space")
        await desk.see("confirmed")
        assert "PAUSED" not in desk.text


async def test_the_cursor_stays_on_its_thing() -> None:
    """Whatever comes in above it; at the top it stays at the top."""
    async with watching() as desk:
        desk.gateway.publish(*sold(lot=7001), *sold(lot=7002), *sold(lot=7003))
        await desk.press("4")
        await desk.see("trades 3")
        await desk.press("down")
        await desk.see("2/3")
        chosen = desk.app.view.chosen()
        assert chosen is not None
        desk.gateway.publish(*sold(lot=7004))
        await desk.see("3/4")
        assert desk.app.view.chosen() == chosen
        await desk.press("home")
        desk.gateway.publish(*sold(lot=7005))
        await desk.see("1/5")
        await desk.press("end", "down", "pageup", "pagedown", "up")
        await desk.see("4/5")


async def test_details_list_every_field() -> None:
    """Of whatever the cursor is on, with units, scrolled by keys; the market's keys rest meanwhile."""
    async with watching() as desk:
        desk.gateway.publish(metrics(101))
        await desk.see("live")
        await desk.until(lambda: "101" in desk.app.view.known.metrics)
        await desk.press("2", "enter")
        await desk.see("battery 101", "capacity_wh", "13.50 kWh (13,500 Wh)", "21.5 degrees C", "400.250 V")
        shown = desk.text
        await desk.press("down", "down")
        assert desk.text != shown
        await desk.press("home", "3", "space", "e")
        assert isinstance(desk.app.screen, Page)
        await desk.press("escape")
        assert desk.app.view.tab == 1
        assert desk.app.view.paused is None
        await desk.press("5", "enter")
        await desk.see("budget_ms", "500.000 ms", "late_messages")


async def test_details_of_a_trade_decode_its_frames() -> None:
    """From REST: each message's fields and whether its signature is right; one that was changed is said to be wrong."""
    gateway = Gateway()
    bidder, trade = profile_of(500, Role.AGGREGATOR), "1790000000000001"
    envelope = Envelope(messages.bid(DeviceId(500), price=MicroPerKwh(150_000), energy=Wh(5_000)), lot_id=7001)  # type: ignore[arg-type]
    from tests.support import at as instant

    raw = bidder.stamp(envelope, DeviceId(101), instant(NOON_US / 1e6))
    wrong = raw[:-1] + bytes([raw[-1] ^ 1])
    body = {"energy_wh": 5000, "bidder": 500, "note": "\x1b[31mred[bold]"}
    row = {
        "node": "101",
        "seq": 9,
        "hash": "ab",
        "kind": "trade",
        "state": "confirmed",
        "time_us": NOON_US,
        "body": body,
    }
    frames = [
        {"what": "bid", "by": "500", "raw": raw.hex(), "key": pair(500).public.hex()},
        {"what": "accept", "by": "101", "raw": wrong.hex(), "key": pair(500).public.hex()},
        {"what": "confirm", "by": "500", "raw": encode(envelope.frame).hex(), "key": None},
        {"what": "answer", "by": "101", "raw": "zz", "key": None},
    ]
    detail = {"message_id": trade, "network_id": NETWORK.network_id.hex(), "frames": frames, "rows": [row]}
    gateway.rest["/api/v1/trades/101/7001"] = detail
    async with watching(gateway) as desk:
        desk.gateway.publish(*sold())
        await desk.press("4")
        await desk.see("trades 1")
        await desk.press("enter")
        page = desk.app.screen
        assert isinstance(page, Page)
        await desk.until(lambda: any("journal rows" in line.text for line in page.lines))
        text = "\n".join(line.text for line in page.lines)
        assert "bid by 500: BID, 212 bytes" in text
        assert "required_energy_amount      5.0 kWh" in text
        assert "signature is its sender's, for this market" in text
        assert "SIGNATURE IS WRONG" in text
        assert "confirm by 500: BID, 84 bytes" in text
        assert "no frame of 84 bytes" in text
        assert "101 no. 9  trade confirmed" in text
        assert "?[31mred[bold]" in text
        assert "\x1b" not in text
        await desk.press("end")
        await desk.see("?[31mred[bold]")


async def test_a_trade_without_details_says_why() -> None:
    """What is known is shown all the same."""
    async with watching() as desk:
        desk.gateway.publish(*sold())
        await desk.press("4")
        await desk.see("trades 1")
        await desk.press("enter", "end")
        await desk.see("its messages cannot be shown: the gateway answers 404")


async def test_asking_anew() -> None:
    """`r`: what the gateway says then replaces what was known."""
    async with watching() as desk:
        desk.gateway.batteries = [battery(777)]
        await desk.press("2", "r")
        await desk.see("777", "asked the gateway anew")
        assert "101" not in desk.text.partition("battery")[2]


async def test_help_and_quit() -> None:
    """`?` shows every key, `q` goes back, and then leaves."""
    async with watching() as desk:
        await desk.press("question_mark")
        await desk.see("Help", "space", "pause", "filter", "quit")
        await desk.press("q")
        assert "mechanism" in desk.text
        await desk.press("q")
        assert desk.app.return_value is None
        assert desk.app._exit


@pytest.mark.parametrize("before", [[], ["slash"], ["question_mark"]])
async def test_interrupt_leaves_from_everywhere(before: list[str]) -> None:
    """Ctrl-C, also while a filter is typed and over a page."""
    async with watching() as desk:
        await desk.press(*before)
        await desk.pilot.press("ctrl+c")
        assert desk.app._exit


async def test_events_may_hold_also_what_only_repeats() -> None:
    """With `e`: status and metrics too, from then on."""
    async with watching() as desk:
        await desk.press("6")
        desk.gateway.publish(battery(), metrics(), forged())
        await desk.see("forged Confirm")
        assert "BESSNodeStatus" not in desk.text
        await desk.press("e")
        desk.gateway.publish(battery(), metrics())
        await desk.see("BESSNodeStatus", "SystemMetrics")


async def test_a_lost_gateway_is_said_and_caught_up_with() -> None:
    """The age of the data rises, nothing is lost or doubled when it is back."""
    async with watching() as desk:
        desk.gateway.publish(*sold())
        await desk.see("trades 1")
        await desk.gateway.down()
        await desk.see("LOST", "again in")
        assert "confirmed" in desk.text, "what was known stays"
        desk.gateway.publish(*sold(lot=7002), paid())
        await desk.gateway.listen()
        await desk.see("live", "trades 2, settled 1, 10.00 kWh, 150.00 c")
        assert desk.app.view.known.gaps == 0
        await desk.press("6")
        assert sum("TradeConfirmed" in line for line in desk.lines()) == 2


async def test_a_gap_is_shown() -> None:
    """In the events, and counted under the tables."""
    async with watching() as desk:
        desk.gateway.publish(forged())
        await desk.press("6")
        await desk.see("SecurityEvent")
        await desk.gateway.down()
        desk.gateway.hub = Gateway(epoch="e2").hub
        await desk.gateway.listen()
        await desk.see("live", "GAP", "another store", "gaps 1")


async def test_who_is_not_let_in_gets_the_reason() -> None:
    """The monitor ends with it."""
    gateway = Gateway()
    gateway.key = "right"
    async with running(gateway):
        app = Monitor(parse_place(gateway.url), api_key="wrong")
        async with app.run_test(size=SIZE) as pilot:
            async with asyncio.timeout(30):
                while not app._exit:
                    await pilot.pause(0.02)
        assert "--key-file" in str(app.return_value)


async def test_names_from_nodes_do_not_act() -> None:
    """Escapes, line breaks, direction marks and markup are text, on every table and in details."""
    hostile = "\x1b[2J[red]\u202egood\n[/red]\u0301\u200b"
    async with watching() as desk:
        events = [
            battery(102, failure=hostile, mechanism=hostile),
            buyer(strategy=hostile),
            opened(102, mechanism=hostile),
            forged(what=hostile),
        ]
        desk.gateway.publish(*events)
        await desk.see("?[2J[red]?g")
        for key in "123456":
            lines = await desk.press(key)
            assert [len(line) for line in lines] == [80] * 24
            assert all(line.isprintable() for line in lines), key
        await desk.press("6", "enter")
        await desk.see("what", "?[2J[red]?good?[/red]??")
        assert all(line.isprintable() and len(line) == 80 for line in desk.lines())


async def test_a_replay_shows_the_markets_time() -> None:
    """Day and minute of the recorded days, not the clock's."""
    market_us = 1_590_000_000_000_000  # 20 May 2020 18:40 UTC
    async with watching() as desk:
        desk.app.view.zone = UTC
        desk.gateway.publish(*[msgspec.structs.replace(one, market_us=market_us) for one in sold()])
        await desk.press("4")
        await desk.see("market 20 May 18:40", "20 May 18:40 101")


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (60, 24), (200, 60)])
async def test_other_sizes(size: tuple[int, int]) -> None:
    """Narrower, lower and larger: every line is as wide as the terminal."""
    async with watching() as desk:
        desk.gateway.publish(*sold())
        await desk.see("confirmed")
        await desk.pilot.resize_terminal(*size)
        await desk.until(lambda: desk.app.query_one(Lines).size.width == size[0])
        lines = desk.lines()
        assert [len(line) for line in lines] == [size[0]] * size[1]
