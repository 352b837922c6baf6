"""A chain as an RPC shows it that is some slots behind the others: everything of it as it was then, its own height included."""

from solders.signature import Signature

from contracts.devnet.bank import Bank
from contracts.devnet.chain import Landed
from contracts.devnet.faucet import Faucet
from contracts.devnet.node import Node
from contracts.devnet.slots import Commitment
from sim.io.chain.bank import FAUCET, RealChain


class _Slots:
    """Slots of a while ago."""

    def __init__(self, real: RealChain, behind: int) -> None:
        self._real, self._behind = real, behind

    @property
    def processed(self) -> int:
        return max(1, self._real.chain.slots.processed - self._behind)

    @property
    def confirmed(self) -> int:
        return max(0, self._real.chain.slots.confirmed - self._behind)

    @property
    def finalized(self) -> int:
        return max(0, self._real.chain.slots.finalized - self._behind)

    def at(self, commitment: Commitment) -> int:
        return int(getattr(self, commitment.value))

    def commitment_of(self, slot: int) -> Commitment:
        if slot <= self.finalized:
            return Commitment.FINALIZED
        return Commitment.CONFIRMED if slot <= self.confirmed else Commitment.PROCESSED

    def stepped_back(self, _: int) -> bool:
        return False

    def __getattr__(self, name: str) -> object:
        return getattr(self._real.chain.slots, name)


class _Chain:
    """The chain of a while ago; what it is sent goes to the newest one."""

    def __init__(self, real: RealChain, behind: int) -> None:
        self._real, self.slots = real, _Slots(real, behind)

    @property
    def landed(self) -> dict[Signature, Landed]:
        last = self.slots.processed
        return {signature: each for signature, each in self._real.chain.landed.items() if each.slot <= last}

    def __getattr__(self, name: str) -> object:
        return getattr(self._real.chain, name)


def bank_behind(real: RealChain, behind: int) -> Bank:
    """What speaks JSON-RPC for it."""
    chain = _Chain(real, behind)
    return Bank(Node(chain, Faucet(FAUCET, real.chain.mint)))  # type: ignore[arg-type]
