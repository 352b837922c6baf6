"""What theory says of the mean: the owner's revenue per lot offered, unsold lots counting as 0, and how much that varies.

With independent private values the expected revenue of an auction is that of its winners' virtual values (R. Myerson,
"Optimal auction design", 1981; Krishna, *Auction Theory*, §5.2), which for values uniform on [0, 1] are 2v − 1. Every mechanism
here sells k units to the k highest values that reach the reserve r, so all of them earn per unit offered

    1/k · Σ E[(2 V(i) − 1) · 1{V(i) ≥ r}],  i = 1 … k,  V(i) the i-th highest of n values ~ Beta(n + 1 − i, i)

which is why they are equivalent, and why r = 1/2 is best: it leaves out just what is negative. For k = 1 it is
(n − 1)/(n + 1) + rⁿ · (1 − 2nr/(n + 1)), the usual closed form (Krishna §2.5).

Equivalent is the mean only: the first price varies less from lot to lot than the second (Krishna §2.4). Standard errors are made
from these variances, not from those of the sample, which in few draws may hold none of the rare lots that stay unsold.
"""

from math import comb, log, sqrt

from scipy.special import betaincc


def revenue(*, bidders: int, reserve: float, lots: int = 1) -> float:
    """Expected revenue per lot offered, in units of the range; `reserve` in the same, 0 to 1."""
    served = min(bidders, lots)
    return sum(_virtual(bidders + 1 - rank, rank, reserve) for rank in range(1, served + 1)) / lots


def _virtual(a: int, b: int, reserve: float) -> float:
    """E[(2V − 1) · 1{V ≥ r}] of V ~ Beta(a, b), where V · f(a, b) = a/(a + b) · f(a + 1, b)."""
    mean = a / (a + b)
    return float(2 * mean * betaincc(a + 1, b, reserve) - betaincc(a, b, reserve))


def deviation(mechanism: str, *, bidders: int, reserve: float, lots: int = 1) -> float:
    """Standard deviation of one draw's revenue per lot offered, in units of the range; `reserve` > 0."""
    second = mechanism != "first-price"
    square = _square_of_unserved(bidders, reserve, lots) if second else _square_of_equilibrium_bid(bidders, reserve)
    return sqrt(max(0.0, square - revenue(bidders=bidders, reserve=reserve, lots=lots) ** 2))


def _square_of_unserved(n: int, r: float, k: int) -> float:
    """E[R²] where all pay the best unserved value or r: V(k+1) for every unit if that is ≥ r, else r for as many as reach it."""
    a, b = n - k, k + 1
    priced = 0.0 if a < 1 else a * (a + 1) / ((a + b) * (a + b + 1)) * float(betaincc(a + 2, b, r))
    scarce = sum(m * m * comb(n, m) * (1 - r) ** m * r ** (n - m) for m in range(min(n, k) + 1))
    return priced + (r / k) ** 2 * scarce


def _square_of_equilibrium_bid(n: int, r: float) -> float:
    """E[b(V(1))² · 1{V(1) ≥ r}]: the integral of b(v)² · n vⁿ⁻¹ from r to 1, b as in `lab.theory.equilibrium`."""
    last = {1: 1 - r, 2: -log(r)}.get(n, (r ** (2 - n) - 1) / (n - 2) if n > 2 else 0.0)  # noqa: PLR2004 - of v¹⁻ⁿ
    return ((n - 1) ** 2 * (1 - r ** (n + 2)) / (n + 2) + (n - 1) * r**n * (1 - r * r) + r ** (2 * n) * last) / n
