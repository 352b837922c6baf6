"""Which tests are measured for coverage (tracing costs half as much again as the tests), and a logger for each of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

HERE = Path(__file__).parent
UNMEASURED = ("e2e", "benches", "docs", "contracts/program", "contracts/devnet", "contracts/hostile")
"""What they test runs in other processes or in Solana's runtime, or is measured by the unit tests beside them."""


@pytest.fixture(autouse=True)
def _logger_of_its_own() -> Iterator[None]:
    """What one test set up logs to a stream that ends with it."""
    yield
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are not traced."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).as_posix().startswith(UNMEASURED):
            item.add_marker(pytest.mark.no_cover)
