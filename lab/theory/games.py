"""A game: a mechanism, and the strategy that its buyers play, which is the one that theory names for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aggregator_node.strategy import STRATEGIES, Rule
from aggregator_node.view import Strategy
from lab.theory.equilibrium import Equilibrium
from market.auction import LotTerms, Mechanism
from market.mechanisms import MECHANISMS

LOTS_AT_ONCE: Final = 3
"""Units that `uniform` sells at once, to buyers who want one each."""


@dataclass(frozen=True, slots=True)
class Game:
    """See the module."""

    mechanism: Mechanism
    strategy_name: str
    strategy_of: Callable[[int], Strategy]
    """The strategy, by the number of buyers."""
    lots: int = 1
    """Units sold at once."""
    bent: Callable[[LotTerms], LotTerms] = lambda terms: terms
    """What the house makes of the terms that were announced; only a planted deviation makes something else of them."""

    @property
    def name(self) -> str:
        """The mechanism's."""
        return self.mechanism.name


def _fixed(name: str) -> Callable[[int], Strategy]:
    return lambda _: STRATEGIES[name]


def equilibrium(bidders: int) -> Strategy:
    """The first-price equilibrium for so many buyers."""
    return Rule(Equilibrium(bidders))


_ALL: Final = (
    Game(MECHANISMS["vickrey"], "truthful", _fixed("truthful")),
    Game(MECHANISMS["first-price"], "equilibrium", equilibrium),
    Game(MECHANISMS["english"], "conservative", _fixed("conservative")),
    Game(MECHANISMS["uniform"], "truthful", _fixed("truthful"), lots=LOTS_AT_ONCE),
)
GAMES: Final[Mapping[str, Game]] = MappingProxyType({game.name: game for game in _ALL})
