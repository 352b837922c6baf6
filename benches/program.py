"""What the settlement program's instructions cost: compute units, bytes of a transaction, rent. Not times: they are exact.

`python -m benches.program` prints the table; with --write-docs it is put into docs/program-costs.md as well. The search
for an address takes 1,500 units a try, so that the same instruction costs more for some keys than for others: each is
measured in several worlds of other keys (tests/contracts/program/harness.py).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from solders.compute_budget import set_compute_unit_limit
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from contracts.addresses import PROGRAM_ID
from contracts.transactions import MAX_TRANSACTION
from tests.contracts.program.harness import SIGNERS, World, address_in, name_of
from tests.contracts.program.scenes import SCENES
from tools import generated
from tools.generated import ROOT, table

PAGE: Final = ROOT / "docs" / "program-costs.md"
WORLDS: Final = 40
SIGNATURE_SIZE: Final = 64
TITLES: Final = {
    "settle": "settle, paid at once",
    "settle_held": "settle, held",
    "resolve": "resolve, to the battery",
    "resolve_to_buyer": "resolve, to the buyer",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one scene in several worlds."""

    scene: str
    units: tuple[int, ...]
    """Compute units of the program's own instruction, one figure a world."""
    size: int
    """Bytes of the transaction, with a compute limit, its first signer paying the fee."""
    signatures: int
    """Of the transaction; the precompile's not among them."""
    rent: int
    """Lamports that go into new accounts."""


def payer_of(world: World, instructions: Sequence[Instruction]) -> Pubkey:
    """Who pays where the client sends it: the first signer, or anyone."""
    signers = SIGNERS[name_of(instructions[-1])]
    return address_in(instructions, signers[0]) if signers else world.payer.pubkey()


def units_of(result: TransactionMetadata) -> int:
    """Compute units that the program's last instruction took."""
    lines = [line for line in result.logs() if line.startswith(f"Program {PROGRAM_ID} consumed ")]
    return int(lines[-1].split()[3])


def measured(scene: str, worlds: Sequence[World]) -> Cost:
    """Raises AssertionError where a scene fails: the program's tests say why."""
    units, size, signatures, rent = [], 0, 0, 0
    for world in worlds:
        world.restore()
        instructions = SCENES[scene](world).instructions
        message = Message([set_compute_unit_limit(1), *instructions], payer_of(world, instructions))
        signatures = message.header.num_required_signatures
        size = max(size, 1 + SIGNATURE_SIZE * signatures + len(bytes(message)))
        accounts = {meta.pubkey for meta in instructions[-1].accounts if world.account(meta.pubkey) is None}
        result = world.send(instructions)
        assert isinstance(result, TransactionMetadata), scene
        units.append(units_of(result))
        rent = world.total_lamports(accounts)
    return Cost(scene, tuple(sorted(units)), size, signatures, rent)


def costs(number: int = WORLDS) -> list[Cost]:
    """Of every scene, in that many worlds."""
    worlds = [World(variant=f" {index}") for index in range(number)]
    return [measured(scene, worlds) for scene in SCENES]


def drawn(found: Sequence[Cost]) -> str:
    """The table, in Markdown."""
    rows = [
        (
            TITLES.get(cost.scene, cost.scene),
            f"{median(cost.units):,.0f}",
            f"{cost.units[-1]:,}",
            f"{cost.size:,}",
            cost.signatures,
            f"{cost.rent:,}" if cost.rent else "",
        )
        for cost in found
    ]
    headings = (
        "instruction",
        ">units (median)",
        f">units (most of {len(found[0].units)})",
        ">bytes",
        ">signatures",
        ">rent",
    )
    return f"{table(headings, rows)}\n\nA transaction has at most {MAX_TRANSACTION:,} bytes. Rent is in lamports."


def main(given: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.program", description="What the program's instructions cost."
    )
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/program-costs.md")
    arguments = parser.parse_args(given)
    text = drawn(costs())
    sys.stdout.write(text + "\n")
    return generated.main(PAGE, {"program-costs": lambda: text}, []) if arguments.write_docs else 0


if __name__ == "__main__":
    sys.exit(main())
