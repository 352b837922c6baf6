"""Accounts are funded by the cluster's rent rule, the older one (two years) and the newer one (one year, doubled) alike."""

import pytest
from solders.rent import Rent

from tests.contracts.program.harness import FIXED, World
from tests.contracts.program.scenes import SCENES

MAKING = ("open_market", "register", "settle", "settle_held", "record_default")
LAMPORTS = 3_480
"""Per byte and year, by the older rule."""
OVERHEAD = 128


@pytest.fixture
def own_world() -> World:
    """Its rent is changed: no other test may see that."""
    return World()


@pytest.mark.parametrize(("price", "years"), [(LAMPORTS, 2.0), (2 * LAMPORTS, 1.0), (LAMPORTS, 1.0), (1, 2.0)])
def test_each_new_account_has_what_the_rule_asks_for_and_no_more(own_world: World, price: int, years: float) -> None:
    own_world.svm.set_rent(Rent(price, years, 50))
    for name in MAKING:
        own_world.restore()
        instructions = SCENES[name](own_world).instructions
        passed = {meta.pubkey for meta in instructions[-1].accounts} - FIXED
        new = [address for address in passed if own_world.account(address) is None]
        own_world.do(instructions)
        assert new
        for address in new:
            size = len(own_world.data(address))
            assert own_world.lamports(address) == (OVERHEAD + size) * price * int(years), name


@pytest.mark.parametrize(("price", "years"), [(LAMPORTS, 1.5), (LAMPORTS, 3.0), (LAMPORTS, 0.0), (2**32, 1.0)])
def test_a_rule_that_nobody_knows_makes_no_account(own_world: World, price: int, years: float) -> None:
    """Rather than one that the cluster takes away again."""
    for name in MAKING:
        own_world.svm.set_rent(Rent(LAMPORTS, 2.0, 50))
        own_world.restore()
        instructions = SCENES[name](own_world).instructions
        own_world.svm.set_rent(Rent(price, years, 50))
        own_world.refused(instructions, "UnknownRentRule")
