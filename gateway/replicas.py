"""Which gateways of a database are silent, and which nodes nobody holds because of that. Pure: numbers and instants in.

Each gateway says every `BEAT_S` which nodes are connected to it, with a number that rises (`gateway.io.bus` writes it where
the others read it). Silence is judged by the reader's own clock, from when it saw the number change last, so that no two clocks
are compared; and only while it could read all the time: after a failure it begins anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from etp.units import MonotonicS

BEAT_S: Final = 2.0
"""Between two beats of a gateway, s."""
SILENT_S: Final = 10.0
"""After so long without a beat a gateway is taken to be gone, s: five were missed. Its nodes dial again within 10 s themselves."""
FORGOTTEN_S: Final = 60.0
"""Then its beats are removed: what it held was said by then, by whichever gateway looked, s."""


class Beat(NamedTuple):
    """What a gateway said last."""

    number: int
    devices: frozenset[int]
    """Of the nodes that are connected to it."""


class Verdict(NamedTuple):
    """What follows from the beats."""

    orphans: frozenset[int]
    """Nodes that only silent gateways held."""
    forgotten: frozenset[str]
    """Gateways whose beats are to be removed."""


@dataclass(slots=True)
class _Seen:
    number: int
    since_s: MonotonicS


class Replicas:
    """See the module. `own`: the name of the gateway that looks."""

    def __init__(self, own: str) -> None:
        self.own = own
        self._seen: dict[str, _Seen] = {}

    def failed(self) -> None:
        """The beats could not be read: whether somebody was silent meanwhile is not known."""
        self._seen.clear()

    def look(self, beats: Mapping[str, Beat], now_s: MonotonicS) -> Verdict:
        """The newest beat of each gateway by its name."""
        silent_s = {name: self._silent_s(name, beat, now_s) for name, beat in beats.items()}
        self._seen = {name: seen for name, seen in self._seen.items() if name in beats}
        silent = {name for name, for_s in silent_s.items() if for_s >= SILENT_S}
        orphans = _devices(beats, silent) - _devices(beats, beats.keys() - silent)
        return Verdict(orphans, frozenset(name for name in silent if silent_s[name] >= FORGOTTEN_S))

    def _silent_s(self, name: str, beat: Beat, now_s: MonotonicS) -> float:
        if name == self.own:
            return 0.0
        seen = self._seen.get(name)
        if seen is None or seen.number != beat.number:
            self._seen[name] = _Seen(beat.number, now_s)
            return 0.0
        return now_s - seen.since_s


def _devices(beats: Mapping[str, Beat], names: Collection[str]) -> frozenset[int]:
    return frozenset[int]().union(*(beats[name].devices for name in names))
