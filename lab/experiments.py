"""All experiments by their names, in the order in which the report shows them: theory comes first, and the rest only if it holds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lab.competition import EXPERIMENTS as COMPETITION
from lab.equality import EXPERIMENTS as EQUALITY
from lab.experiment import Experiment
from lab.hours import EXPERIMENTS as HOURS
from lab.limits import EXPERIMENTS as LIMITS
from lab.margins import EXPERIMENTS as MARGINS
from lab.misreports import EXPERIMENTS as AUDIT
from lab.network import EXPERIMENTS as NETWORK
from lab.pricing import EXPERIMENTS as PRICING
from lab.reserve_rules import EXPERIMENTS as RESERVES
from lab.share import EXPERIMENTS as SHARE
from lab.strategies import EXPERIMENTS as STRATEGIES
from lab.theory.study import EXPERIMENTS as THEORY
from lab.timing import EXPERIMENTS as TIMING
from lab.years import EXPERIMENTS as YEARS

_ALL: Final[tuple[Experiment, ...]] = (
    *THEORY,
    *EQUALITY,
    *COMPETITION,
    *YEARS,
    *HOURS,
    *RESERVES,
    *SHARE,
    *MARGINS,
    *NETWORK,
    *TIMING,
    *LIMITS,
    *AUDIT,
    *STRATEGIES,
    *PRICING,
)

EXPERIMENTS: Final[Mapping[str, Experiment]] = MappingProxyType({experiment.name: experiment for experiment in _ALL})
FOUNDATION: Final = THEORY[0].name
"""If this one's checks fail, nothing that is built on it is shown."""
