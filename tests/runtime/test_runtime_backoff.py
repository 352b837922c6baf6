"""Delays between tries."""

import random

from runtime.backoff import Backoff


def test_backoff_is_bounded_and_jittered():
    """Between half and the whole of min(limit, first × 2ⁿ)."""
    delays = [Backoff().delay_s(attempt, random.Random(1)) for attempt in (0, 3, 10_000)]
    assert 0.05 <= delays[0] <= 0.1
    assert 0.4 <= delays[1] <= 0.8
    assert 5 <= delays[2] <= 10
