"""The mechanisms by the name that the command line gives them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from market.auction import Mechanism
from market.english import English
from market.immediate import Immediate
from market.sealed import Sealed, first_price, uniform, vickrey

_ALL: Final[tuple[Mechanism, ...]] = (
    English(),
    Sealed("first-price", first_price),
    Sealed("vickrey", vickrey),
    Sealed("uniform", uniform, divisible=True),
    Immediate(),
)
MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType({mechanism.name: mechanism for mechanism in _ALL})
