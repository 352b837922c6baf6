"""Peers that do not play by the rules, by role and name. The honest must not suffer by any of it.

Of time they know all: whoever owns the network owns delays. Of keys they have their own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from etp.codes import Role
from sim.byzantine import batteries, buyers
from sim.byzantine.batteries import Denier, Grasper, Mute
from sim.byzantine.buyers import Deserter, Equivocator, Flooder, Haggler, Latecomer, Nonsense, Withholder
from sim.byzantine.hostile import Eavesdropper, Garbler, Hostile, Impostor, Replayer, Shouter

HOSTILE: Final[Mapping[Role, Mapping[str, type[Hostile]]]] = MappingProxyType(
    {
        Role.AGGREGATOR: {
            "replayer": Replayer,
            "garbler": Garbler,
            "impostor": Impostor,
            "eavesdropper": Eavesdropper,
            "withholder": Withholder,
            "latecomer": Latecomer,
            "equivocator": Equivocator,
            "haggler": Haggler,
            "nonsense": Nonsense,
            "flooder": Flooder,
            "deserter": Deserter,
            "rogue": buyers.Rogue,
        },
        Role.BESS: {
            "replayer": Replayer,
            "garbler": Garbler,
            "impostor": Impostor,
            "eavesdropper": Eavesdropper,
            "shouter": Shouter,
            "mute": Mute,
            "grasper": Grasper,
            "denier": Denier,
            "rogue": batteries.Rogue,
        },
    }
)
"""By role and name."""

__all__ = ["HOSTILE", "Hostile"]
