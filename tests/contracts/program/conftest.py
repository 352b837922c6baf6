"""One furnished world for all tests of the program; each finds it as new."""

from collections.abc import Iterator

import pytest

from tests.contracts.program.harness import World


@pytest.fixture(scope="session")
def furnished() -> World:
    """Built once: putting accounts back is a hundred times cheaper."""
    return World()


@pytest.fixture
def world(furnished: World) -> Iterator[World]:
    """As it was furnished."""
    furnished.restore()
    yield furnished
    furnished.restore()
