"""What the methods share: the chain, the faucet, and the records that the ledger has yet to keep."""

from typing import Any, Final

from contracts.devnet.chain import Chain
from contracts.devnet.errors import SLOT_NOT_REACHED, RpcError
from contracts.devnet.faucet import Faucet
from contracts.devnet.ledger import Record
from contracts.devnet.params import Config

RUNTIME_VERSION: Final = "2.2.0"
"""Of the Solana runtime in this LiteSVM."""


class Node:
    """One chain as its JSON-RPC sees it."""

    def __init__(self, chain: Chain, faucet: Faucet) -> None:
        self.chain, self.faucet = chain, faucet
        self.records: list[Record] = []

    def slot(self, config: Config) -> int:
        """The newest slot of the commitment that a caller wants. Raises RpcError where it is before `minContextSlot`."""
        slot = self.chain.slots.at(config.commitment())
        least = config.number("minContextSlot")
        if least is not None and slot < least:
            raise RpcError(SLOT_NOT_REACHED, "Minimum context slot has not been reached", {"contextSlot": slot})
        return slot


def in_context(slot: int, value: Any) -> dict[str, Any]:
    """An answer with the slot that it is of."""
    return {"context": {"slot": slot, "apiVersion": RUNTIME_VERSION}, "value": value}
