"""What wins and losses teach of a price: shares among bins, pooling, draws."""

import random

import pytest

from aggregator_node.belief import MEMORY, Belief, draw, mean, pooled, some_bin

EVEN = [1.0] * 4


def test_an_interval_is_shared_as_it_was_believed() -> None:
    """One observation of bins 1 and 2, of which 2 was thought three times as likely: a quarter and three quarters."""
    belief = Belief(4)
    belief.learn(1, 2, [5.0, 1.0, 3.0, 1.0])
    assert belief.weights == [0.0, 0.25, 0.75, 0.0]


def test_what_nobody_believed_is_shared_alike() -> None:
    """Bins of no weight."""
    belief = Belief(4)
    belief.learn(2, 3, [1.0, 1.0, 0.0, 0.0])
    assert belief.weights == [0.0, 0.0, 0.5, 0.5]


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2), (0, 4)])
def test_bins_that_are_not_there_are_refused(low: int, high: int) -> None:
    """With the numbers in the message."""
    with pytest.raises(ValueError, match=f"{low} to {high}"):
        Belief(4).learn(low, high, EVEN)


def test_old_observations_fade() -> None:
    """After `MEMORY` more an observation counts 1/e, and the sum never passes `MEMORY`."""
    belief = Belief(2)
    belief.learn(0, 0, [1.0, 1.0])
    for _ in range(MEMORY):
        belief.learn(1, 1, [1.0, 1.0])
    assert belief.weights[0] == pytest.approx(0.3677, abs=0.001)
    assert sum(belief.weights) <= MEMORY


def test_the_truth_is_found_from_wins_and_losses_alone() -> None:
    """A price uniform over ten bins, bids at random: the shares of wins at each level come out within 0.1, whatever was thought first."""
    rng, belief = random.Random(4), Belief(10)
    for _ in range(4000):
        price, bid = rng.randrange(10), rng.randrange(10)
        expected = pooled([belief], [0.3, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.2])
        if bid >= price:
            belief.learn(0, bid, expected)
        elif bid < 9:
            belief.learn(bid + 1, 9, expected)
    shares, total = mean(belief.weights), 0.0
    for level in range(10):
        total += shares[level]
        assert total == pytest.approx((level + 1) / 10, abs=0.1)


def test_a_narrow_belief_is_drawn_to_the_wide_one() -> None:
    """Alone it is the wide one's shape; with many observations it is its own."""
    wide, narrow = Belief(2), Belief(2)
    for _ in range(300):
        wide.learn(0, 0, [1.0, 1.0])
    prior = [1.0, 1.0]
    assert mean(pooled([wide, narrow], prior)) == pytest.approx(mean(pooled([wide], prior)))
    for _ in range(900):
        narrow.learn(1, 1, [1.0, 1.0])
    assert mean(pooled([wide, narrow], prior))[1] > 0.8


def test_draws_are_distributions_around_the_mean() -> None:
    """They add up to 1, the same seed draws the same, and more observations spread less."""
    few, many = [1.0, 3.0], [100.0, 300.0]
    spreads = []
    for weights in (few, many):
        drawn = [draw(weights, random.Random(seed))[1] for seed in range(300)]
        assert sum(drawn) / 300 == pytest.approx(0.75, abs=0.03)
        spreads.append(max(drawn) - min(drawn))
    assert spreads[1] < spreads[0] / 3
    assert sum(draw(few, random.Random(1))) == pytest.approx(1.0)
    assert draw(few, random.Random(1)) == draw(few, random.Random(1))
    assert draw([0.0, 1.0], random.Random(1)) == pytest.approx([0.0, 1.0])


def test_some_bin_is_as_frequent_as_it_is_likely() -> None:
    """And the last one where rounding leaves something."""
    rng = random.Random(2)
    seen = [some_bin([0.2, 0.5, 0.3], rng) for _ in range(2000)]
    assert seen.count(1) / 2000 == pytest.approx(0.5, abs=0.05)
    assert some_bin([0.0, 0.0], rng) == 1
