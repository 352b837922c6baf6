"""How long and how large a run is: full by default, a smoke of about a second a bench with `quick`. Knows no bench."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "runs" / "bench"
"""Where results go; ignored by git."""
SCRATCH: Final = RESULTS / "scratch"
"""In the checkout, so that journals are on its disk and not on a tmpfs."""
QUICK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asked for."""

    seconds: float | None = None
    """Length of each load phase; None: each bench's own."""
    quick: bool = False

    def phase_s(self, full_s: float) -> float:
        """Length of a load phase, s."""
        if self.seconds is not None:
            return self.seconds
        return QUICK_S if self.quick else full_s

    def size(self, full: int, quick: int) -> int:
        """How many of something."""
        return quick if self.quick else full

    def cold(self, most: float) -> float | None:
        """A limit on an idle node; none where it has just started, whose last start-up work is not idling."""
        return None if self.quick else most

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory on the checkout's disk, gone afterwards."""
        SCRATCH.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(dir=SCRATCH))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
