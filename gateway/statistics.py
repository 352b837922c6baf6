"""What competition paid: sums of trades, prices weighted by volume, and how sure they are. Pure, and exact where money is.

A volume-weighted price is a ratio of two sums over trades, Σ wᵢpᵢ / Σ wᵢ (w: energy, p: price), so its error is that of the ratio estimator
(W. G. Cochran, Sampling Techniques, 3rd ed. 1977, §6.4, linearised variance): with R the price,

    var(R) ≈ n / (n − 1) · Σ wᵢ² (pᵢ − R)² / (Σ wᵢ)²

where the sum is Σw²p² − 2R Σw²p + R² Σw², so that moments are enough and no trade is read again. The interval is R ± t·√var with
Student's t of n − 1 degrees of freedom. It tells how much chance there is in the trades that were made; it does not make a sample of
ten trades of one evening a sample of all evenings.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

LEAST_TRADES: Final = 3
"""Below it an interval says nothing: with two trades t is 12.7."""
_WH_PER_KWH: Final = 1_000
_T_975: Final = (
    *(12.70620, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814),
    *(2.20099, 2.17881, 2.16037, 2.14479, 2.13145, 2.11991, 2.10982, 2.10092, 2.09302, 2.08596),
)
"""Student's t at 0.975 for 1 to 20 degrees of freedom; beyond them the series is exact to 10⁻⁵."""
_Z_975: Final = 1.959963984540054


class Measures(NamedTuple):
    """Sums over trades, as `tables.sums` and `tables.rollups` keep them."""

    trades: int
    energy_wh: int
    paid_micro: int
    feed_in_wh: int
    feed_in_micro: int
    first_wh: int
    first_micro: int
    w2: float
    w2p: float
    w2p2: float


NOTHING: Final = Measures(0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)


def total(measures: Iterable[Measures]) -> Measures:
    """All together."""
    columns = list(zip(*measures, strict=True))
    return Measures(*map(sum, columns)) if columns else NOTHING


def price(micro: int, energy_wh: int) -> int | None:
    """µ/kWh that `micro` for `energy_wh` is, rounded half to even; None without energy."""
    if energy_wh <= 0:
        return None
    whole, rest = divmod(micro * _WH_PER_KWH, energy_wh)
    return whole + (2 * rest > energy_wh or (2 * rest == energy_wh and whole % 2 == 1))


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t (Abramowitz and Stegun, 26.7.5, beyond the table)."""
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z, n = _Z_975, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def interval(measures: Measures) -> tuple[float, float] | None:
    """The 95 % confidence interval of the volume-weighted price, µ/kWh; None: under 3 trades, or no energy."""
    n, weight = measures.trades, measures.energy_wh / _WH_PER_KWH
    if n < LEAST_TRADES or weight <= 0:
        return None
    ratio = measures.paid_micro / weight
    # Equal prices leave a rounding error of either sign, not a variance.
    spread = max(0.0, measures.w2p2 - 2 * ratio * measures.w2p + ratio * ratio * measures.w2)
    half = student_t(n - 1) * sqrt(n / (n - 1) * spread) / weight
    return max(0.0, ratio - half), ratio + half


def sums(measures: Measures) -> dict[str, Any]:
    """The fields of `schema.Sums`."""
    return {
        "trades": measures.trades,
        "energy_wh": measures.energy_wh,
        "paid_micro": measures.paid_micro,
        "price_micro_per_kwh": price(measures.paid_micro, measures.energy_wh),
        "feed_in_micro_per_kwh": price(measures.feed_in_micro, measures.feed_in_wh),
        "first_micro_per_kwh": price(measures.first_micro, measures.first_wh),
    }


def group(key: str, measures: Measures) -> dict[str, Any]:
    """The fields of `schema.Group`."""
    bounds = interval(measures)
    return {
        "key": key,
        **sums(measures),
        "low_micro_per_kwh": round(bounds[0], 3) if bounds else None,
        "high_micro_per_kwh": round(bounds[1], 3) if bounds else None,
    }


def of_row(values: Sequence[Any]) -> Measures:
    """Sums as a database gives them (Decimal, or None where nothing was added) → exact integers and floats."""
    trades, energy, paid, feed_in_wh, feed_in, first_wh, first, w2, w2p, w2p2 = (value or 0 for value in values)
    return Measures(
        int(trades), int(energy), int(paid), int(feed_in_wh), int(feed_in), int(first_wh), int(first),
        float(w2), float(w2p), float(w2p2),
    )  # fmt: skip
