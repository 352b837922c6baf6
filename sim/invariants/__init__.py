"""What must hold of a market, whatever happens to its nodes and links: one list, used by simulator, tests and `etp demo`.

`Watch` follows a run step by step; `violations` reads the journals of nodes that have stopped. Both say it by these names.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sim.invariants.books import BatteryBooks, Books, BuyerBooks, Stock, Violation, whole
from sim.invariants.callers import Callers
from sim.invariants.ended import violations
from sim.invariants.watch import Watch

INVARIANTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sold_twice": "a lot has at most one buyer, one trade and one Confirm that is FINISHED (design §4; decision 3)",
        "energy": "what is promised and not released never exceeds what the battery could have had (design §4, For sale)",
        "conserved": "a trade is delivered once, in full or short; stored and delivered make up what there was (decision 4)",
        "money": "a trade costs price × energy, half to even; what is bought was sold; on the chain every µ is accounted for "
        "(design §2, Units; docs/settlement.md)",
        "demand": "what is bought and promised is never more than is wanted, nor than may be spent (design §2, Exposure)",
        "winner": "the promises of a lot are those of its mechanism, by the bids that stood (design §4, The auction)",
        "answered": "every Bid is answered at once, and refused only for what it is (design §3, Codes; §4, The auction)",
        "reserve": "no bid takes part and nothing is promised below the reserve (design §4)",
        "promise_missing": "a promise is in its sender's journal before it leaves, and both ends say the same (design §4)",
        "terms": "what is confirmed is what was promised, and that is what was bid for, or less (design §4, The promise)",
        "transition": "only moves of the tables of a lot and of a buyer's promise (`etp.state.LOT`; design §4, The promise)",
        "atomic": "a lot's end and its promises are one transaction; so are CONFIRMED, trade, delivery, answer and outbox row "
        "(design §4; settlement)",
        "settled_once": "a trade has one payment, which moves through the outbox's table, says no more than the finalized account, "
        "and is paid or given back (docs/settlement.md)",
        "released": "a promise is given up for a reason of the design that shows, from outside by its buyer alone (design §4)",
        "window": "an Accept ends within its window; a late Confirm makes no trade; a restart ends what was open (design §4)",
        "sender": "a node acts on what a peer said to it, by TCP or as a datagram, and on nobody else's word for it (design §5)",
        "duplicate": "what came before, byte for byte, changes nothing; an Accept is confirmed once (design §4, Repetition; §5)",
        "limits": "every table and queue stays below its limit (design §4, Sessions and limits)",
        "raised": "whatever peers say, no core raises (docs/protocol.md, Bad input)",
        "liveness": "once all is well, what was begun comes to an end (`sim.liveness`; design §4, The promise)",
    }
)
"""name → what must hold, and where that is decided."""

__all__ = [
    "INVARIANTS",
    "BatteryBooks",
    "Books",
    "BuyerBooks",
    "Callers",
    "Stock",
    "Violation",
    "Watch",
    "violations",
    "whole",
]
