"""What instructions cost stays within what the client asks for and a packet holds; the bench that says so runs."""

from typing import Final

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.message import Message
from spl.token.instructions import create_idempotent_associated_token_account

from benches import program as bench
from contracts.outbox import Act
from contracts.transactions import COMPUTE_UNITS, CREATE_UNITS, MAX_TRANSACTION
from tests.contracts.program.harness import World
from tests.contracts.program.scenes import SCENES

SEARCH: Final = 1_500
"""Units of one try for a derived address (Solana's syscall)."""


@pytest.fixture(scope="module")
def found() -> dict[str, bench.Cost]:
    """In a few worlds."""
    return {cost.scene: cost for cost in bench.costs(6)}


def test_every_scene_has_its_row(found: dict[str, bench.Cost]) -> None:
    text = bench.drawn(list(found.values()))
    assert set(found) == set(SCENES)
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == len(SCENES) + 2
    for cost in found.values():
        assert f"{cost.units[-1]:,}" in text


def test_every_transaction_fits_a_packet(found: dict[str, bench.Cost]) -> None:
    assert max(cost.size for cost in found.values()) <= MAX_TRANSACTION


def test_the_largest_transaction_of_the_settler_fits_a_packet(world: World) -> None:
    """Settle with a compute limit, a price, and the payout's account made on the way."""
    battery = world.seller.address
    create = create_idempotent_associated_token_account(battery, battery, world.usdc)
    head = [set_compute_unit_limit(200_000), set_compute_unit_price(1_000_000), create]
    message = Message([*head, *world.main.settle(world.deal())], battery)
    assert 1 + bench.SIGNATURE_SIZE + len(bytes(message)) <= MAX_TRANSACTION


@pytest.mark.parametrize(
    ("act", "scene", "searches"),
    [
        (Act.SETTLE, "settle", 3),
        (Act.SETTLE, "settle_held", 3),
        (Act.RECORD_DEFAULT, "record_default", 2),
        (Act.RELEASE, "release", 2),
    ],
)
def test_the_client_asks_for_enough_units(found: dict[str, bench.Cost], act: Act, scene: str, searches: int) -> None:
    """With twelve tries more for each address than the worst found: one key in 4,096 needs as many for one of them."""
    assert found[scene].units[-1] + searches * 12 * SEARCH <= COMPUTE_UNITS[act]


def test_and_for_enough_to_make_the_payout(world: World) -> None:
    battery = world.seller.address
    world.put(world.main.wallet(world.seller), None)
    create = create_idempotent_associated_token_account(battery, battery, world.usdc)
    result = world.send([set_compute_unit_limit(CREATE_UNITS), create])
    assert world.account(world.main.wallet(world.seller)) is not None, result


def test_a_cost_is_the_same_each_time(found: dict[str, bench.Cost]) -> None:
    again = bench.measured("settle", [World(variant=f" {index}") for index in range(6)])
    assert again == found["settle"]
