"""Intervals cover what they say, pairs are narrower, and what cannot be said is refused."""

import numpy as np
import pytest

from lab.statistics import LEVEL, Interval, difference, mean, ratio


def test_a_ratio_by_hand() -> None:
    """(1 + 2 + 3) / (10 + 10 + 20)."""
    found = ratio([1, 2, 3], [10, 10, 20])
    assert found.estimate == pytest.approx(0.15)
    assert found.low <= found.estimate <= found.high
    assert found.clusters == 3


def test_the_standard_error_is_that_of_a_mean() -> None:
    """S / √n, within the noise of the resampling."""
    values = np.random.default_rng(1).normal(5.0, 2.0, 100)
    assert mean(values).error == pytest.approx(values.std(ddof=1) / 10, rel=0.05)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """A skewed quantity (exponential, mean 1), 300 samples of 40: 95 %, and plainly neither 85 nor 100."""
    rng = np.random.default_rng(2)
    found = [mean(rng.exponential(1.0, 40)) for _ in range(300)]
    covered = sum(interval.low <= 1.0 <= interval.high for interval in found) / len(found)
    assert abs(covered - LEVEL) < 0.045


def test_the_interval_of_a_skewed_quantity_is_skewed() -> None:
    """BCa reaches further to the long tail than a symmetric interval would (Efron & Tibshirani, ch. 14)."""
    found = mean(np.random.default_rng(3).exponential(1.0, 30))
    assert found.high - found.estimate > 1.15 * (found.estimate - found.low)


def test_pairs_are_narrower() -> None:
    """What both ways share cancels: the difference of two noisy incomes on one tape is sure, that of two tapes is not."""
    rng = np.random.default_rng(4)
    shared = rng.normal(100.0, 20.0, 60)
    ours, theirs, ones = shared + rng.normal(1.0, 0.5, 60), shared, np.ones(60)
    paired = difference(ours, theirs, ones)
    assert paired.above_zero
    assert paired.high - paired.low < (mean(ours).high - mean(ours).low) / 10


def test_what_does_not_vary_has_no_width() -> None:
    """And no difference is not above zero."""
    found = difference([5, 5, 5], [5, 5, 5], [1, 2, 3])
    assert found == Interval(0.0, 0.0, 0.0, 0.0, 3)
    assert not found.above_zero


def test_the_same_numbers_give_the_same_interval() -> None:
    """Resamples are seeded; another seed gives others."""
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    assert mean(values) == mean(values) != mean(values, seed=2)


def test_one_cluster_is_refused() -> None:
    """It says nothing of its spread."""
    with pytest.raises(ValueError, match="at least 2"):
        ratio([1], [1])
    with pytest.raises(ValueError, match="2 numerators and 3 denominators"):
        ratio([1, 2], [1, 2, 3])


def test_as_text() -> None:
    """In cents, with the unit once."""
    assert Interval(21_500.0, 21_300.0, 21_700.0, 100.0, 9).said(" c/kWh", per=10_000) == "2.15 c/kWh [2.13, 2.17]"
    assert Interval(-3.0, -4.0, 2.0, 1.0, 9).said(per=10_000) == "0.00 [0.00, 0.00]"
