"""What the worth of competition depends on, as one list."""

from typing import Final

from lab.margins import EXPERIMENTS as MARGINS
from lab.reserve_rules import EXPERIMENTS as RESERVES
from lab.share import EXPERIMENTS as SHARE

EXPERIMENTS: Final = (*RESERVES, *SHARE, *MARGINS)
