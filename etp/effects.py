"""What a core asks its shell to do. Values only: the shell makes rows durable, then sends.

The rule "no promise before its fsync" stands in one place: what depends on a row is what the core's
`committed(commit, now)` returns, and the shell calls that only once the rows are durable. What each message makes
anew is a msgspec.Struct: to make one costs an eighth of a NamedTuple.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import msgspec

from etp.frame import Frame
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, MonotonicS, WallUs, Wh

Scalar: TypeAlias = int | str | bool | None


class Row(NamedTuple):
    """One row of the hash-chained journal: waited for before anything that depends on it leaves the node."""

    kind: str
    """lot | promise | trade | energy | security"""
    lot_id: int
    state: str
    time_us: WallUs
    body: Mapping[str, Scalar]
    """Integers and short strings only; frames as hex."""
    subject: str = ""
    """Under this the row is found again; a later row of the same kind and subject replaces it there."""
    pending: bool | None = None
    """True: a restart must be told of this subject; False: no longer; None: unchanged."""


class BidRow(NamedTuple):
    """One line of the ring of bids: written with the next commit, never waited for."""

    lot_id: int
    bidder: DeviceId
    message_id: MessageId
    energy_wh: Wh
    price_micro_per_kwh: MicroPerKwh
    state: str
    time_us: WallUs


class Envelope(msgspec.Struct, eq=False, gc=False):
    """A frame on its way. `raw` is set once, when it is stamped: at commit for promises, else when it leaves the queue."""

    frame: Frame
    raw: bytes | None = None
    lot_id: LotId = LotId(0)
    """The lot that it speaks of, 0: none; in `plain` nobody is told."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Queue a frame for the session of `device_id`; nothing happens where it has none."""

    device_id: DeviceId
    envelope: Envelope


class Broadcast(NamedTuple):
    """Queue a copy of a frame for every session."""

    frame: Frame
    lot_id: LotId = LotId(0)


@dataclass(frozen=True, slots=True)
class Commit:
    """Make `rows` durable in one transaction, then call `committed(commit, now)`, or `commit_failed(commit, now)`."""

    rows: tuple[Row, ...]
    purpose: str
    """What the core does once it is durable: a key of its own table."""
    keys: tuple[int, ...]
    """What it is about: lot ids at a battery, the battery's device_id at an aggregator."""
    asked_s: MonotonicS
    """When it was asked for."""


class Write(NamedTuple):
    """Rows for the next commit that nothing waits for."""

    rows: tuple[Row, ...]


class RecordBid(msgspec.Struct, frozen=True, gc=False):
    """A line for the ring of bids."""

    row: BidRow


class Settle(NamedTuple):
    """A trade is durable, and so is the row that says what is owed for it: see to its payment."""

    row: Row


class Lookup(NamedTuple):
    """Find the newest journal row of `kind` and `subject`, then call `found(lookup, row | None, now)`."""

    kind: str
    subject: str
    device_id: DeviceId
    frame: Frame
    raw: bytes


class Disconnect(NamedTuple):
    """Send what is queued for the session of `device_id`, then close it."""

    device_id: DeviceId


class Count(msgspec.Struct, frozen=True, gc=False):
    """Add to a counter."""

    name: str
    label: str = ""
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Log:
    """One line for the operator: an event name and key=value."""

    event: str
    fields: Mapping[str, Scalar | float]
    level: str = "info"


Effect: TypeAlias = Send | Broadcast | Commit | Write | RecordBid | Settle | Lookup | Disconnect | Count | Log
