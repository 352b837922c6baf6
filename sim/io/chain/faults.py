"""What can go wrong between a node and a chain, each with a probability: drawn anew for every world, so that no two are alike."""

import random
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Final


class Fault(Enum):
    """A way in which things go wrong."""

    # on the way
    LOSE_REQUEST = "request lost"
    LOSE_ANSWER = "answer lost"
    DELAY = "answer delayed"
    DUPLICATE = "request carried out twice"
    RATE_LIMIT = "429 too many requests"
    DOWN = "RPC down"
    GARBAGE = "garbage for an answer"
    # with transactions
    ERROR_THOUGH_LANDED = "error although it landed"
    NOTHING_FOR_SUCCESS = "success for nothing"
    LATE = "handed on late"
    NO_PREFLIGHT = "handed on unchecked"
    # lies
    UNKNOWN_BLOCKHASH = "unknown blockhash"
    EXPIRED_BLOCKHASH = "expired blockhash"
    LAST_VALID_TOO_LOW = "last valid height too low"
    LAST_VALID_TOO_HIGH = "last valid height too high"
    HEIGHT_TOO_HIGH = "finalized height too high"
    STATUS_FOR_NOTHING = "finalized for nothing"
    STATUS_DENIED = "no status of what is there"
    STATUS_FAILED = "failed for what worked"
    ACCOUNT_DENIED = "no account where one is"
    ACCOUNT_STALE = "an old account for a new one"
    ACCOUNT_INVENTED = "an account that is not there"
    OTHER_CHAIN = "of another chain"
    MUTATED = "a field of an answer changed"
    # the chain's
    BEHIND = "RPC slots behind"
    FORK = "fork"
    FORKED_AWAY = "transaction forked away"
    STALL = "finality stalled"
    # the node's
    CRASH = "kill -9"
    JOURNAL = "journal failed"
    # the parties'
    ESCROW_SHORT = "escrow too short"
    PAYER_EMPTY = "fee payer empty"
    DISPUTE = "trade disputed"
    REFUND = "refund asked for"


UNRELIABLE: Final[Mapping[Fault, float]] = {
    Fault.LOSE_REQUEST: 0.5,
    Fault.LOSE_ANSWER: 0.5,
    Fault.DELAY: 0.6,
    Fault.DUPLICATE: 0.5,
    Fault.RATE_LIMIT: 0.5,
    Fault.DOWN: 0.05,
    Fault.GARBAGE: 0.4,
    Fault.ERROR_THOUGH_LANDED: 0.6,
    Fault.NOTHING_FOR_SUCCESS: 0.8,
    Fault.LATE: 0.6,
    Fault.NO_PREFLIGHT: 0.6,
}
"""Faults of an RPC that means well, and how likely each is at most, a request."""
LIES: Final[Mapping[Fault, float]] = {
    Fault.UNKNOWN_BLOCKHASH: 0.5,
    Fault.EXPIRED_BLOCKHASH: 0.5,
    Fault.LAST_VALID_TOO_LOW: 0.5,
    Fault.LAST_VALID_TOO_HIGH: 0.5,
    Fault.HEIGHT_TOO_HIGH: 0.5,
    Fault.STATUS_FOR_NOTHING: 0.7,
    Fault.STATUS_DENIED: 0.7,
    Fault.STATUS_FAILED: 0.7,
    Fault.ACCOUNT_DENIED: 0.7,
    Fault.ACCOUNT_STALE: 0.7,
    Fault.ACCOUNT_INVENTED: 0.7,
    Fault.OTHER_CHAIN: 0.2,
    Fault.MUTATED: 0.5,
}
"""Of one that does not."""

DONE: Final = frozenset(
    {
        Fault.DOWN,
        Fault.BEHIND,
        Fault.FORK,
        Fault.STALL,
        Fault.ESCROW_SHORT,
        Fault.PAYER_EMPTY,
        Fault.DISPUTE,
        Fault.REFUND,
    }
)
"""What is done to an RPC, to the chain, or by a party; all others befall one answer or one transaction."""

Odds = dict[Fault, float]


def drawn(rng: random.Random, most: Mapping[Fault, float]) -> Odds:
    """Half of the faults, each as likely as chance will have it, rather seldom than often."""
    return {fault: limit * rng.random() ** 2 for fault, limit in most.items() if rng.random() < 0.5}


class Chance:
    """Says when a fault strikes, and counts it. `on`: whether any does."""

    def __init__(self, odds: Mapping[Fault, float], rng: random.Random, counts: Counter[Fault]) -> None:
        self.odds, self.rng, self.counts = odds, rng, counts
        self.on = True

    def strikes(self, fault: Fault) -> bool:
        """Whether it does now."""
        odds = self.odds.get(fault, 0.0)
        if not self.on or not odds or self.rng.random() >= odds:
            return False
        self.counts[fault] += 1
        return True
