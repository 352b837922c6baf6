"""Slots: which one it is, what is confirmed and finalized in it, and which blockhashes live. All of it follows from time.

A slot is a block here: none is ever skipped, so a block's height is its slot.
"""

from enum import StrEnum
from hashlib import sha256
from typing import Final

from contracts.devnet.ledger import Segment
from etp.units import WallUs

MAX_AGE: Final = 150
"""Slots in which a blockhash can still be used (Solana: MAX_PROCESSING_AGE)."""
CONFIRMED_AFTER: Final = 1
"""Slots until a transaction is confirmed: a cluster's votes take about as long."""
SLOTS_PER_EPOCH: Final = 432_000
STEPPED_BACK_US: Final = 2_000_000
"""The wall clock may tremble so much, µs; what is more is a step, and slots are counted from there on anew."""
HASH_TAG: Final = b"ETP-DEVNET-BLOCK\0"


class Commitment(StrEnum):
    """How sure a reader wants to be."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


class Slots:
    """The slots of one chain; they never go back."""

    def __init__(self, genesis_hash: bytes, first: Segment) -> None:
        self._genesis_hash = genesis_hash
        self.segment = first
        self.processed = first.slot
        self.confirmed = self.finalized = 0
        self._hashes: dict[bytes, int] = {}
        self._newest = -1
        self.enter(first.slot)

    def due(self, now_us: WallUs) -> int:
        """The slot at a time; never one before the present one."""
        passed_us = max(0, now_us - self.segment.wall_us)
        return max(self.processed, self.segment.slot + passed_us // (self.segment.slot_ms * 1000))

    def stepped_back(self, now_us: WallUs) -> bool:
        """Whether the wall clock was set back: slots would stand still until it is again what it was."""
        return now_us < self._began_us(self.processed) - STEPPED_BACK_US

    def begin(self, segment: Segment) -> None:
        """From here on slots are counted by another segment."""
        self.enter(segment.slot)
        self.segment = segment

    def enter(self, slot: int) -> None:
        """Go on to a slot, or stay in it."""
        self.processed = max(self.processed, slot)
        self.confirmed = max(self.confirmed, self.processed - CONFIRMED_AFTER)
        # Not by the newest segment alone: a longer finality at the next start must not take back what was final.
        self.finalized = max(self.finalized, self.processed - self.segment.finality_slots)
        oldest = min(self.finalized, self.processed) - MAX_AGE
        for number in range(max(self._newest + 1, oldest, 0), self.processed + 1):
            self._hashes[self.blockhash(number)] = number
        self._newest = self.processed
        while self._hashes and next(iter(self._hashes.values())) < oldest:
            del self._hashes[next(iter(self._hashes))]

    def at(self, commitment: Commitment) -> int:
        """The newest slot of a commitment."""
        return int(getattr(self, commitment.value))

    def commitment_of(self, slot: int) -> Commitment:
        """How sure what happened in a slot is."""
        if slot <= self.finalized:
            return Commitment.FINALIZED
        return Commitment.CONFIRMED if slot <= self.confirmed else Commitment.PROCESSED

    def blockhash(self, slot: int) -> bytes:
        """32 bytes: the chain's and the slot's own, and the same after a restart."""
        return sha256(HASH_TAG + self._genesis_hash + slot.to_bytes(8, "little")).digest()

    def lives(self, blockhash: bytes, slot: int) -> bool:
        """Whether a transaction with this blockhash can land in a slot."""
        born = self._hashes.get(blockhash)
        return born is not None and 0 <= slot - born <= MAX_AGE

    def _began_us(self, slot: int) -> int:
        return self.segment.wall_us + (slot - self.segment.slot) * self.segment.slot_ms * 1000

    def time_s(self, slot: int) -> int:
        """When a slot began, unix seconds: what the Clock sysvar says in it."""
        return self._began_us(slot) // 1_000_000
