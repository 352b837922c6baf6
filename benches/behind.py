"""The battery daemon's own desk, shell, journal and counters, to be put behind another wire: so that only the wire differs."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from benches.child import DEVICE
from bess_node.build import desk_of, limits_of
from bess_node.settings import BessSettings
from etp.clock import Now
from etp.effects import Envelope
from etp.frame import Frame, invalid
from etp.ids import Ids
from etp.io.clock import system_now
from etp.profile import Plain
from etp.roster import Roster
from etp.units import DeviceId
from runtime.histogram import Metrics
from runtime.io.journal import Journal
from runtime.io.shell import Shell

STEP_CENTS: Final = 0.0001
HELD_KWH: Final = 1_000_000.0
SETTINGS: Final = BessSettings(
    device_id=DEVICE, increment=STEP_CENTS, closing_ms=600_000, lot_max_s=86_400, capacity_kwh=HELD_KWH,
    discharge_kw=100_000, for_sale=100, bid_rate=100_000,
)  # fmt: skip
"""An open market as the daemon's beside it."""


class Line(Protocol):
    """What the shell sends on."""

    connection: Any
    session: None

    def send(self, envelope: Envelope, now: Now) -> None:
        """Write an answer."""


class Behind:
    """See the module."""

    def __init__(self, journal: Journal) -> None:
        self.ids, self._metrics, now = Ids(journal.mark), Metrics(), system_now()
        limits = limits_of(SETTINGS)
        self._desk = desk_of(SETTINGS, series=None, level=None, profile=Plain(self.ids), limits=limits, now=now)
        self._roster: Roster[Any] = Roster(limits)
        self._shell = Shell(
            self._desk, journal=journal, roster=self._roster, ids=self.ids, metrics=self._metrics, clock=system_now
        )
        self._shell.apply(self._desk.opened(now), now)

    def received(self, frame: Frame, raw: bytes, now: Now, connection: object, line: Callable[[], Line]) -> None:
        """Judge a bid that came over a connection; its answer goes out over `line()`, made once."""
        if invalid(frame) is not None:
            raise ValueError("the bench's own bid is refused")
        device = DeviceId(frame.device_id)
        known = self._roster.get(device)
        if known is None or known.connection is not connection:
            self._roster.bind(device, line())
        self._metrics.received(frame.message_type, frame.message_id, now)
        self._shell.apply(self._desk.receive(device, frame, raw, now), now)
        self._shell.turned()


def stamped_id(envelope: Envelope, ids: Ids, now: Now) -> int:
    """The message_id of an answer: its own where it is stamped, else one of now."""
    raw = envelope.raw
    return ids.next(now.wall_us) if raw is None else int.from_bytes(raw[1:9], "little")
