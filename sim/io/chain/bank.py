"""The real runtime and program under virtual time, with what a cluster can do and the local chain never does.

Forks: what happened in the last slots that are not final, and their blockhashes, vanish; the slots go on. Stalls: nothing
is finalized for a while. Memory: accounts as they were some slots ago, for RPCs that are behind. The first and the last
take the chain's own undo log; a test shows that a fork leaves what a replay without it comes to.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from solders.keypair import Keypair

import contracts
from contracts.devnet.bank import Bank, Pace
from contracts.devnet.chain import Chain
from contracts.devnet.ledger import Record, Segment, Transaction
from contracts.devnet.slots import HASH_TAG, MAX_AGE
from contracts.devnet.versions import Versions
from etp.clock import Now
from sim.scheduler import Scheduler

PROGRAM: Final = (Path(contracts.__file__).parent / "etp_settlement.so").read_bytes()
DIGEST: Final = sha256(PROGRAM).digest()
GENESIS: Final = sha256(b"a simulated chain").digest()
FAUCET: Final = Keypair.from_seed(sha256(b"faucet").digest())
MEMORY: Final = 64
"""Slots behind the finalized one that can still be read."""
STALLED: Final = 1_000_000
"""Slots to finality while it stalls."""


class Remembering(Versions):
    """Keeps what was before for longer, so that an RPC which is behind can be asked."""

    def forget(self, finalized: int) -> None:
        """See Versions."""
        super().forget(finalized - MEMORY)


class RealChain:
    """One bank, and the time it lives in."""

    def __init__(self, scheduler: Scheduler, *, slot_ms: int, finality_slots: int) -> None:
        self.scheduler = scheduler
        self.pace = Pace(slot_ms, finality_slots, DIGEST)
        self.bank = Bank.begin(GENESIS, FAUCET, self.pace, lambda _: PROGRAM, scheduler.now())
        self.chain._versions = Remembering()
        self.records: list[Record] = self.bank.take_records()
        self.pinned = 0
        """No fork goes back to before this slot: what the test itself puts on the chain stays there."""
        self.forks = 0
        self.dropped: list[bytes] = []
        """Signatures of what forks took back, all of them."""
        self._fork_of: list[tuple[int, int]] = []
        """(first slot, number) of each fork."""
        self.chain.slots.blockhash = self._blockhash  # type: ignore[method-assign]

    @property
    def chain(self) -> Chain:
        """What is behind the bank's JSON-RPC."""
        return self.bank.chain

    def now(self) -> Now:
        """Virtual now."""
        return self.scheduler.now()

    def advance(self) -> None:
        """Let slots come up to now."""
        self.bank.advance(self.now())

    def handle(self, request: object) -> Any:
        """What an honest RPC answers."""
        answer = self.bank.handle(request, self.now())
        self.records += self.bank.take_records()
        return answer

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call; AssertionError where it is refused."""
        answer = self.handle({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert "error" not in answer, answer["error"]
        self.pinned = self.chain.slots.processed
        return answer["result"]

    # -- forks

    def _blockhash(self, slot: int) -> bytes:
        number = next((number for first, number in reversed(self._fork_of) if first <= slot), 0)
        tag = HASH_TAG + GENESIS + (b"%d" % number if number else b"")
        return sha256(tag + slot.to_bytes(8, "little")).digest()

    def fork(self, slots: int) -> Sequence[bytes]:
        """The last `slots` slots, none of them final, turn out to be of a branch that died. Returns their transactions."""
        self.advance()
        chain, processed = self.chain, self.chain.slots.processed
        last = max(chain.slots.finalized, self.pinned, processed - slots)
        self.forks += 1
        self._fork_of.append((last + 1, self.forks))
        self._undo_accounts(last)
        self._undo_blockhashes(last)
        gone = [signature for signature, landed in chain.landed.items() if landed.slot > last]
        for signature in gone:
            self.dropped.append(bytes(signature))
            del chain.landed[signature]
        chain.count -= len(gone)
        chain._recent = {message: slot for message, slot in chain._recent.items() if slot <= last}
        raws = [record.raw for record in self.records if isinstance(record, Transaction) and record.slot > last]
        self.records = [r for r in self.records if not (isinstance(r, Transaction) and r.slot > last)]
        return raws

    def _undo_accounts(self, last: int) -> None:
        chain, versions = self.chain, self.chain._versions
        for address, kept in list(versions._before.items()):
            undone = [before for slot, before in kept if slot > last]
            if not undone:
                continue
            chain._put_back({address: undone[0]})
            if undone[0] is not None:
                chain._owned.setdefault(undone[0].owner, set()).add(address)
            del kept[len(kept) - len(undone) :]
            if not kept:
                del versions._before[address]
        versions._order = type(versions._order)((slot, key) for slot, key in versions._order if slot <= last)

    def _undo_blockhashes(self, last: int) -> None:
        slots = self.chain.slots
        for blockhash in [each for each, slot in slots._hashes.items() if slot > last]:
            del slots._hashes[blockhash]
        for slot in range(last + 1, slots.processed + 1):
            slots._hashes[slots.blockhash(slot)] = slot

    def stall(self, *, on: bool) -> None:
        """Stop finalizing, or go on."""
        self.advance()
        slot_ms, finality, digest = self.pace
        slot = self.chain.slots.processed
        began_us = self.chain.slots._began_us(slot)
        self.chain.begin(Segment(slot, began_us, slot_ms, STALLED if on else finality, digest))

    # -- the truth

    @property
    def finalized(self) -> int:
        """The newest final slot now."""
        self.advance()
        return self.chain.slots.finalized

    def may_land(self, blockhash: bytes) -> bool:
        """Whether a transaction with this blockhash could still become final, on this branch or on one that forks off it."""
        born = self.chain.slots._hashes.get(blockhash)
        return born is not None and born + MAX_AGE >= self.finalized
