"""A game played by its mechanism alone (`lab.play.auction`): no frames, no promises, no sockets.

Everybody hears of the lot at once and is equally far away, so that bids arrive in the order in which they were caused: what the
full cores are compared with, draw by draw.
"""

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from aggregator_node.view import Strategy
from etp.units import MicroPerKwh
from lab.play import Table, UpTo, auction
from lab.tape import TapeLot
from lab.theory.games import Game
from lab.theory.model import DELAY_S, UNIT, Ints, terms_of

CERTAIN: Final = random.Random(0)
"""For strategies that draw nothing."""


def played(game: Game, values: Ints, reserve: MicroPerKwh) -> Ints:
    """What every buyer pays in every draw, µ/kWh; 0: it wins nothing."""
    strategy = game.strategy_of(values.shape[1])
    rows = [paid(game, strategy, row, reserve) for row in values.tolist()]
    return np.array(rows, dtype=np.int64).reshape(values.shape)


def paid(game: Game, strategy: Strategy, values: Sequence[int], reserve: MicroPerKwh) -> list[int]:
    """One draw: what each buyer pays, µ/kWh; 0: it wins nothing. Equal bids are judged in the order of the buyers."""
    payments, terms = [0] * len(values), game.bent(terms_of(reserve, game.lots))
    bidders = {index: UpTo(MicroPerKwh(value), strategy, CERTAIN) for index, value in enumerate(values)}
    wants = dict.fromkeys(bidders, UNIT)
    for award in auction(Table(game.mechanism, terms, bidders, wants, _equally_near(len(values)))).awards:
        payments[award.bid.bidder] = int(award.paid)
    return payments


@lru_cache
def _equally_near(bidders: int) -> TapeLot:
    """A lot that nobody knows more of than another. What its buyers' values are is the draws' to say, not the tape's."""
    nobody, at_once, alike = (MicroPerKwh(0),) * bidders, (0.0,) * bidders, (DELAY_S,) * bidders
    return TapeLot(0, 0.0, UNIT, 1.0, 0, 0, nobody, at_once, alike)
