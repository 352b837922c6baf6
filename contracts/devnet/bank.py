"""The local chain for a caller: JSON-RPC requests and the time in, answers and records for the ledger out.

An answer must not leave before the records that were taken with it are durable: what is not on the disk has not happened.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from solders.keypair import Keypair

from contracts.devnet.chain import Chain
from contracts.devnet.errors import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    LedgerError,
    ReplayError,
    RpcError,
    invalid,
)
from contracts.devnet.faucet import Faucet
from contracts.devnet.ledger import Genesis, Record, Segment
from contracts.devnet.methods import METHODS
from contracts.devnet.node import Node
from contracts.devnet.params import Params
from etp.clock import Now

FIRST_SLOT: Final = 1
"""Slot 0 is the genesis, which is final from the beginning: nothing lands in it."""
MAX_BATCH: Final = 256
"""Calls of one request: a quarter of a second's work at the very most."""

Programs = Callable[[bytes], bytes]
"""A program's bytes by their SHA-256."""
Answer = dict[str, Any] | list[dict[str, Any]] | None


class Pace(NamedTuple):
    """How fast the chain goes, and what it runs; may be another at each start."""

    slot_ms: int
    finality_slots: int
    program: bytes
    """SHA-256 of the settlement program; empty: none."""


class Bank:
    """See the module. Make one with `begin` or `restore`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.chain = node.chain

    @classmethod
    def begin(cls, genesis_hash: bytes, faucet: Keypair, pace: Pace, programs: Programs, now: Now) -> "Bank":
        """A new chain. Raises ProgramError."""
        genesis = Genesis(genesis_hash, bytes(faucet.pubkey()))
        first = Segment(FIRST_SLOT, now.wall_us, *pace)
        chain = Chain(genesis, first, programs)
        bank = cls(Node(chain, Faucet(faucet, chain.mint)))
        bank._node.records += [genesis, first]
        return bank

    @classmethod
    def restore(cls, records: Iterator[Record], faucet: Keypair, pace: Pace, programs: Programs, now: Now) -> "Bank":
        """The chain of a ledger, its slots going on from now. Raises LedgerError, ReplayError, ProgramError."""
        genesis, first = next(records, None), next(records, None)
        if not isinstance(genesis, Genesis) or not isinstance(first, Segment):
            raise LedgerError(1, "is not the beginning of one")
        if genesis.faucet != bytes(faucet.pubkey()):
            raise ReplayError("the faucet's key is not the one that this chain was begun with; put that file back")
        chain = Chain(genesis, first, programs)
        for number, record in enumerate(records, 3):
            if isinstance(record, Genesis):
                raise LedgerError(number, "begins another chain")
            if isinstance(record, Segment):
                chain.begin(record)
            else:
                chain.replay(record)
        bank = cls(Node(chain, Faucet(faucet, chain.mint)))
        chain.advance(now.wall_us)
        bank._begin_segment(pace, now)
        return bank

    def advance(self, now: Now) -> None:
        """Let time come to `now`: slots begin, what is old enough is confirmed and finalized."""
        slots = self.chain.slots
        if slots.stepped_back(now.wall_us):
            segment = slots.segment
            self._begin_segment(Pace(segment.slot_ms, segment.finality_slots, segment.program), now)
        self.chain.advance(now.wall_us)

    def _begin_segment(self, pace: Pace, now: Now) -> None:
        segment = Segment(self.chain.slots.processed, now.wall_us, *pace)
        self.chain.begin(segment)
        self._node.records.append(segment)

    def take_records(self) -> list[Record]:
        """What the ledger has to keep since the last call, in order."""
        taken, self._node.records = self._node.records, []
        return taken

    def handle(self, request: object, now: Now) -> Answer:
        """The answer to a request or a batch, None where none is wanted. Never raises for what a caller sends."""
        self.advance(now)
        if not isinstance(request, list):
            return self._one(request)
        if not 0 < len(request) <= MAX_BATCH:
            return refusal(
                None, INVALID_REQUEST, f"Invalid request: a batch has 1 to {MAX_BATCH} calls, not {len(request)}"
            )
        return [answer for each in request if (answer := self._one(each)) is not None] or None

    def _one(self, request: object) -> dict[str, Any] | None:
        if (
            not isinstance(request, dict)
            or request.get("jsonrpc") != "2.0"
            or not isinstance(request.get("method"), str)
        ):
            return refusal(None, INVALID_REQUEST, "Invalid request: expected jsonrpc 2.0 with a method")
        identity = request.get("id")
        if isinstance(identity, (bool, float, list, dict)):
            return refusal(None, INVALID_REQUEST, "Invalid request: id is a string, a whole number or null")
        try:
            result = self._call(request["method"], request)
        except RpcError as error:
            answer = refusal(identity, error.code, error.message, error.data)
        else:
            answer = {"jsonrpc": "2.0", "result": result, "id": identity}
        return answer if "id" in request else None

    def _call(self, name: str, request: Mapping[str, Any]) -> Any:
        method = METHODS.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        values = request.get("params")
        if not isinstance(values, list | None):
            raise invalid("expected a list of parameters")
        values = values or []
        if not method.least <= len(values) <= method.most:
            raise invalid(f"{name} takes {method.least} to {method.most} parameters, not {len(values)}")
        return method.handle(self._node, Params(values))


def refusal(identity: object, code: int, message: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON-RPC answer that says no."""
    error = {"code": code, "message": message} | ({"data": data} if data is not None else {})
    return {"jsonrpc": "2.0", "error": error, "id": identity}
