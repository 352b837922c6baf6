"""Which addresses are dialled, and when again: back-off, and giving up what was only found."""

import random

from aggregator_node.dialling import MOST, SETTLED_S, TRIES_OF_A_FOUND_PEER, Dials

HERE = ("192.0.2.7", 8700)


def test_one_dialler_per_address_and_a_bound_on_all() -> None:
    """A second wish for an address changes nothing; nor does one beyond the bound."""
    dials = Dials(random.Random(1))
    assert dials.reach(HERE, forever=False)
    assert not dials.reach(HERE, forever=True)
    assert all(dials.reach(("192.0.2.8", port), forever=False) for port in range(1, MOST))
    assert not dials.reach(("192.0.2.9", 1), forever=False)


def test_a_found_peer_is_given_up_after_some_tries_and_may_be_found_again() -> None:
    """Five tries that do not last; then its address is free."""
    dials = Dials(random.Random(1))
    dials.reach(HERE, forever=False)
    waits = [dials.ended(HERE, lasted_s=0.1) for _ in range(TRIES_OF_A_FOUND_PEER)]
    assert [wait is None for wait in waits] == [False] * 4 + [True]
    assert dials.reach(HERE, forever=False)


def test_what_was_configured_is_dialled_for_ever_with_back_off() -> None:
    """A minute of tries later it waits up to ten seconds, and is not given up."""
    dials = Dials(random.Random(1))
    dials.reach(HERE, forever=True)
    waits = [dials.ended(HERE, lasted_s=0.0) for _ in range(50)]
    assert all(wait is not None and wait <= 10.0 for wait in waits)
    assert all(wait is not None and wait >= 5.0 for wait in waits[10:])


def test_a_session_that_lasted_begins_the_back_off_anew() -> None:
    """One that ended at once is as good as none."""
    dials = Dials(random.Random(1))
    dials.reach(HERE, forever=False)
    for _ in range(TRIES_OF_A_FOUND_PEER - 1):
        assert dials.ended(HERE, lasted_s=0.1) is not None
    wait = dials.ended(HERE, lasted_s=SETTLED_S)
    assert wait is not None
    assert wait <= 0.1
