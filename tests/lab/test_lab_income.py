"""What an owner earns, in integers, and what the same days bring without competition."""

import pytest

from bess_node.settings import BessSettings
from bess_node.supply import supply_wh
from etp.effects import Row
from etp.units import Micro, MicroPerKwh, WallUs, Wh
from lab.baselines import first_above_reserve, play, single_buyer
from lab.income import Sales, income_micro_per_kwh, offered_wh, sales_of
from lab.scenario import Scenario, ScenarioSettings, scenario_of
from runtime.settings import SettingsError


@pytest.fixture(scope="module")
def days() -> Scenario:
    """The default days."""
    return scenario_of(ScenarioSettings())


def test_sales_are_summed() -> None:
    """Trades, Wh and µ; the price is weighted by volume and rounded half to even."""
    rows = [
        Row("trade", 1, "confirmed", WallUs(0), {"energy_wh": 1000, "paid_micro": 70_000}),
        Row("trade", 2, "confirmed", WallUs(0), {"energy_wh": 3000, "paid_micro": 300_001}),
    ]
    assert sales_of(rows) == (2, 4000, 370_001)
    assert sales_of(rows).price == 92_500
    assert sales_of([]).price is None


def test_income_by_hand(days: Scenario) -> None:
    """10 kWh offered, 4 sold for 70 c, wear 0.5 c, the rest at 6 c: (70 − 2 + 36) / 10 = 10.4 c."""
    assert income_micro_per_kwh(Sales(1, Wh(4000), Micro(700_000)), Wh(10_000), days) == 104_000


def test_selling_nothing_is_the_feed_in_tariff(days: Scenario) -> None:
    """And selling at the reserve earns exactly the same."""
    offered = offered_wh(days)
    assert income_micro_per_kwh(Sales(0, Wh(0), Micro(0)), offered, days) == days.feed_in
    at_reserve = Sales(1, Wh(50_000), Micro(days.reserve * 50))
    assert income_micro_per_kwh(at_reserve, offered, days) == days.feed_in


def test_supply_is_what_is_stored_and_what_the_sun_brings() -> None:
    """(50 % − 10 %) of 10 kWh × 0.95; a day of a 2 kW rooftop is 2 × 16 h × 2/π = 20.37 kWh × 0.95 × 0.95."""
    settings = BessSettings(device_id=1, capacity_kwh=10, energy_kwh=5, for_sale=90, solar_kw=2)
    assert supply_wh(settings, 0.0, 0.0) == 3800
    assert supply_wh(settings, 0.0, 86_400.0) == 3800 + int(20_371.83 * 0.95 * 0.95)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.no_cover) for seed in (2, 3))])
@pytest.mark.parametrize("mechanism", ["english", "first-price", "vickrey", "uniform"])
def test_competition_pays(mechanism: str, seed: int) -> None:
    """Each auction earns the owners more than one buyer does, and more than taking the first bid above the reserve."""
    settings = ScenarioSettings(seed=seed, mechanism=mechanism)
    scenario = scenario_of(settings)
    offered = offered_wh(scenario)
    ours, alone, taken = (
        income_micro_per_kwh(play(days), offered, scenario)
        for days in (scenario, single_buyer(scenario), first_above_reserve(settings))
    )
    assert ours > taken > alone >= scenario.feed_in


def test_a_single_buyer_pays_the_reserve(days: Scenario) -> None:
    """Nobody bids against it."""
    sales = play(single_buyer(days))
    assert sales.trades >= 25
    assert sales.price == days.reserve


def test_the_same_seed_plays_the_same_days(days: Scenario) -> None:
    """Twice the same sales; another seed, others."""
    assert play(days) == play(days) != play(scenario_of(ScenarioSettings(seed=2)))


def test_nobody_sells_while_prices_are_negative() -> None:
    """Half-hours 63 to 66 of the record: worth less than nothing, no trade."""
    sales = play(scenario_of(ScenarioSettings(first_slot=63, slots=4)))
    assert sales == (0, Wh(0), Micro(0))


@pytest.mark.parametrize(
    ("setting", "given"),
    [("slots", {"slots": 50, "first_slot": 60}), ("strategy", {"strategy": ["hopeful"]})],
)
def test_days_that_cannot_be(setting: str, given: dict[str, object]) -> None:
    """Refused by the setting's name, with what would be right."""
    with pytest.raises(SettingsError) as refused:
        scenario_of(ScenarioSettings(**given))
    assert refused.value.setting == setting
    assert refused.value.right


def test_market_time(days: Scenario) -> None:
    """100 half-hours at 0.3 s each; the reserve is feed-in plus wear."""
    assert (days.end_s - days.start_s, days.speed, days.reserve) == (180_000, 6000, MicroPerKwh(65_000))
