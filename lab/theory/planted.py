"""Deviations from theory, planted to see whether the checks find them: each is a game that is played wrongly in one way."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from etp.units import MicroPerKwh
from lab.theory.games import GAMES, Game, equilibrium
from lab.theory.model import REPLY_S
from market.auction import Award, Closing, LotTerms
from market.sealed import Sealed, SealedState

STEPS_BEFORE_END: Final = 40
"""Replies after which the lot that closes too early ends: its price may still be rising then."""
RESERVE_OFF_PERCENT: Final = 2
RANK_PAID: Final = 3


def _third_value(state: SealedState) -> Closing:
    """The best bid wins and pays the third-best bid, or the reserve where there is none."""
    best, *losers = sorted(state.by_bidder.values(), key=lambda bid: bid.rank)
    setter = losers[RANK_PAID - 2] if len(losers) >= RANK_PAID - 1 else None
    paid = setter.price if setter is not None else state.terms.reserve
    return Closing((Award(best, best.energy, paid),), tuple(losers), setter)


def _too_high_a_reserve(terms: LotTerms) -> LotTerms:
    return terms._replace(reserve=MicroPerKwh(terms.reserve * (100 + RESERVE_OFF_PERCENT) // 100))


def _too_short(terms: LotTerms) -> LotTerms:
    return terms._replace(max_s=STEPS_BEFORE_END * REPLY_S)


PLANTED: Final[Mapping[str, Game]] = MappingProxyType(
    {
        "the third value is paid": replace(GAMES["vickrey"], mechanism=Sealed("vickrey", _third_value)),
        "shaded as if there were one rival more": replace(
            GAMES["first-price"], strategy_of=lambda bidders: equilibrium(bidders + 1)
        ),
        "the reserve is off by 2 %": replace(GAMES["vickrey"], bent=_too_high_a_reserve),
        "the lot closes too early": replace(GAMES["english"], bent=_too_short),
    }
)
"""By what is wrong."""
