"""Which tests are measured for coverage (tracing costs half as much again), in which order they come, and a logger for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
UNMEASURED = ("e2e", "benches", "docs", "contracts/program", "contracts/devnet", "contracts/hostile")
"""What they test runs in other processes or in Solana's runtime, or is measured by the unit tests beside them."""

# How long an example takes says how busy the machine is: a test that bounds a time asserts it.
settings.register_profile("etp", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("etp")


@pytest.fixture(autouse=True)
def _logger_of_its_own() -> Iterator[None]:
    """What one test set up logs to a stream that ends with it."""
    yield
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are not traced; stories come first, since workers take what is last from each other and know no groups."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).as_posix().startswith(UNMEASURED):
            item.add_marker(pytest.mark.no_cover)
