"""Options of `etp sim`."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from runtime.settings import SettingsError

COUNTED = ("auctions", "faults", "losses", "crashes", "messages", "trades")
"""What is counted of all seeds together."""
REQUIRABLE = ("runs", *COUNTED)
"""What can be required of them: `runs`, where --minutes may end sooner."""


class SimSettings(BaseModel):
    """Which seeds to play, and what is asked of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seed: int = Field(0, ge=0, description="the (first) seed")
    runs: int | None = Field(
        None, ge=1, description="how many seeds, one after the other; default: 1, or as many as --minutes allow"
    )
    minutes: float | None = Field(None, gt=0, description="begin no seed after so long")
    jobs: int = Field(
        len(os.sched_getaffinity(0)), ge=1, le=1024, description="processes that play; default: one per processor"
    )
    mode: Literal["safety", "liveness"] | None = Field(
        None,
        description="safety: everything goes wrong, and all is checked at each step; liveness: then all is well again,"
        " and everything must come to its end; default: as the seed says",
    )
    faults: str | None = Field(
        None, description="of one seed: the faults that happen, by their numbers (3,7), or none; default: all"
    )
    require: str | None = Field(
        None,
        description="what all seeds together must at least reach, else status 1, such as auctions=30000,crashes=2000",
    )
    print_json: bool = Field(
        default=False,
        description="one JSON object per seed on stdout; with several seeds a last one that sums them up",
        json_schema_extra={"flag": "--json"},
    )

    @field_validator("faults")
    @classmethod
    def _faults(cls, value: str | None) -> str | None:
        if value not in (None, "none") and not all(each.isdecimal() for each in str(value).split(",")):
            raise ValueError("expected numbers of faults, such as 3,7, or none")
        return value

    def required(self) -> dict[str, int]:
        """What must be reached. Raises SettingsError."""
        found = {}
        for part in (self.require or "").split(","):
            name, _, least = part.partition("=")
            if part and (name not in REQUIRABLE or not least.isdecimal()):
                raise SettingsError(
                    "require", self.require, f"expected NAME=NUMBER with one of {', '.join(REQUIRABLE)}"
                )
            if part:
                found[name] = int(least)
        return found

    @property
    def many(self) -> bool:
        """Whether it is more than one seed."""
        return (self.runs or 1) > 1 or self.minutes is not None
