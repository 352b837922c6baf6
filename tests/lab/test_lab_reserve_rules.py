"""Reserve rules: what is asked of each, and sentences that follow the numbers."""

import pyarrow as pa
import pytest

from lab.ledger import TARIFFS
from lab.reserve_rules import RULES, SELLING, checks, said
from lab.shown import COUNTS

GAINS = {1: 1_000, 2: 3_000, 4: 3_500, 10: 4_000}


def table(**gains: dict[int, int]) -> pa.Table:
    """Two drawings of 1 kWh, all of it sold; by rule, what each number of buyers brings above feed-in, µ. 0: nothing is sold."""
    return pa.Table.from_pylist(
        [
            dict.fromkeys(("paid_micro", "trades", "bids", "too_dear", "too_cheap"), 0)
            | {"welfare_micro": 99, "best_micro": 100}
            | {
                "reserve": rule,
                "buyers": buyers,
                "cluster": cluster,
                "offered_wh": 1000,
                "sold_wh": 1000 if gained else 0,
                "earned_micro": TARIFFS.feed_in + gained + 10 * cluster * (buyers - 1) * (gained > 0),
            }
            for rule in RULES
            for buyers in COUNTS
            for gained in (gains.get(rule, GAINS if rule in SELLING else {}).get(buyers, 0),)
            for cluster in (0, 1)
        ]
    )


def test_every_rule_but_the_full_price_is_judged() -> None:
    """By its name."""
    assert {check.name.split(":")[0] for check in checks(table())[:-3]} == {f"reserve {rule}" for rule in SELLING}
    assert all(check.passed for check in checks(table()))


def test_a_rule_that_sells_nothing_is_not_left_out() -> None:
    """It fails: nothing earned more with two than with one."""
    failed = [check.name for check in checks(table(forecast={})) if not check.passed]
    assert failed == ["reserve forecast: two aggregators earn more than one"]


@pytest.mark.parametrize(("two", "way"), [(1_000, "less"), (9_000, "more")])
def test_a_sign_follows_the_numbers(two: int, way: str) -> None:
    """If the forecast earned more than the fixed reserve, so it would be said."""
    text = " ".join(said(table(forecast=GAINS | {2: two})).split())
    sentence = text[text.index("The *forecast* rule") : text.index("The *soc* rule")]
    assert sentence.rstrip(" .").endswith(way)
