"""How a node begins a life: ids above all that it can have signed, a boot number never used, the profile of its settings.

Pure: what the journal remembers comes in, what the node starts with goes out. The daemons and the simulator both begin by it.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from etp.clock import Now
from etp.effects import Row
from etp.ids import MARK_AHEAD_US, Ids
from etp.profile import Plain
from etp.record import Verify, is_signed_by
from etp.registry import Registry
from etp.signed import AnyProfile, Identity, Signed
from etp.timing import Timing
from runtime.settings import NodeSettings, SettingsError, parse_address

CLOCK: Final = "the clock of this machine"


class Memory(Protocol):
    """What a node knows of its lives before."""

    def find(self, kind: str, subject: str) -> Row | None:
        """The newest durable row of a kind and subject."""

    def pending_rows(self) -> Sequence[Row]:
        """What a restart must know, in journal order."""

    def rows_of(self, kind: str) -> Iterable[Row]:
        """All rows of a kind, in journal order."""


def ahead_us(mark: int, now: Now) -> int:
    """How long a node waits until it may begin, µs: until its clock is past all that it can have signed; ≤ 0: not at all.

    So its ids are times again from the first one on, and the mark's lead never adds up over restarts. Raises SettingsError
    where the clock is further behind than that lead: it went back.
    """
    behind_us = mark - now.wall_us
    if behind_us > MARK_AHEAD_US:
        right = f"it is {behind_us / 1e6:.1f} s behind what this node has signed; set the clock, then start again"
        raise SettingsError(CLOCK, f"{now.wall_us / 1e6:.0f} s since 1970", right)
    return behind_us


def boot_number(before: int | None, wall_s: int) -> int:
    """The number of a life, u32: greater than every one `before`, and no less than the time, s since 1970."""
    return max(before + 1 if before is not None else 0, wall_s)


def profile_of(
    settings: NodeSettings,
    *,
    mark: int,
    registry: Registry | None,
    identity: Identity | None,
    now: Now,
    verify: Verify = is_signed_by,
) -> AnyProfile:
    """The profile of a life: `identity` None means `plain`. Raises SettingsError."""
    ids = Ids(mark)
    if identity is None:
        return Plain(ids, registry)
    assert registry is not None, "who signs has a registry"
    group = parse_address("group", settings.group)
    return Signed(identity, registry, ids, group=group, timing=Timing(), started=now, verify=verify)
