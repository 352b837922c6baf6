"""Random mixes of everything, a seed each: settled exactly once, to the µ, within a bound after the last fault."""

import pytest

from tests.contracts.hostile.world import World, scenario

SEEDS = range(1, 13)
TRADES = 15


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mix_of_faults_ends_with_every_trade_paid_once(seed: int) -> None:
    """Replay one with `python -m tests.contracts.hostile.torture --seed SEED --trades 15 --jobs 1`."""
    outcome = World(scenario(seed, TRADES), seed).run()
    assert outcome.trades == TRADES
    assert outcome.broken == []
    assert outcome.signed >= TRADES


def test_the_same_seed_is_the_same_world() -> None:
    """To the byte of every row and the count of every fault; another seed is another."""
    first, again = (World(scenario(7, 6), 7).run() for _ in range(2))
    assert first.digest == again.digest
    assert first.faults == again.faults
    assert World(scenario(8, 6), 8).run().digest != first.digest
