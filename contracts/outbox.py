"""The outbox: what each confirmed trade still needs, as rows of the battery's journal (docs/settlement.md, From promise to payment).

The row of a trade is written in the transaction that confirms it; each later state replaces it under its lot_id. A row holds
everything that a restart needs: the record that pays, and the signed bytes that may already be on their way.
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Final

from contracts.errors import ContractsError
from etp import frame
from etp.effects import Row, Scalar
from etp.record import KEY_SIZE, RECORD_SIZE, message_id_of, trailer
from etp.state import LotState
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, WallUs, Wh, money

KIND: Final = "settlement"
"""Of the outbox's rows; the subject is the lot_id."""
MAX_REASON: Final = 200
"""Characters of a reason that are kept."""


class OutboxState(Enum):
    """Where the payment of a trade stands."""

    CONFIRMED = "confirmed"
    """Promised; no transaction was signed yet."""
    SETTLING = "settling"
    """A signed transaction is durable and may be on its way."""
    DEFAULTED = "defaulted"
    """On the chain as the buyer's default; paid as soon as its escrow can."""
    REFUSED = "refused"
    """The program says no, for a reason that only the operator can change. Tried again, seldom."""
    HELD = "held"
    """The buyer's money is set aside until the dispute window is over."""
    DISPUTED = "disputed"
    """The buyer disputes it; the arbiter, or 14 days, decide."""
    SETTLED = "settled"
    """The battery is paid: finalized, and read back."""
    REFUNDED = "refunded"
    """The buyer has its money back: finalized, and read back."""


_ON_CHAIN: Final = {OutboxState.HELD, OutboxState.DISPUTED, OutboxState.SETTLED, OutboxState.REFUNDED}
_OPEN: Final = {OutboxState.SETTLING, OutboxState.DEFAULTED, OutboxState.REFUSED} | _ON_CHAIN

OUTBOX: Final[dict[OutboxState, frozenset[OutboxState]]] = {
    OutboxState.CONFIRMED: frozenset(_OPEN),
    OutboxState.SETTLING: frozenset(_OPEN),
    OutboxState.DEFAULTED: frozenset(_OPEN),  # it may be paid, held and given back before anybody looks again
    OutboxState.REFUSED: frozenset(_OPEN),
    OutboxState.HELD: frozenset(_ON_CHAIN),
    OutboxState.DISPUTED: frozenset(_ON_CHAIN - {OutboxState.HELD}),
    OutboxState.SETTLED: frozenset(),
    OutboxState.REFUNDED: frozenset(),
}
"""state → what may follow. A trade that somebody else has put on the chain is found there from any state before."""

LOT_STATE: Final[dict[OutboxState, LotState]] = {
    OutboxState.CONFIRMED: LotState.CONFIRMED,
    OutboxState.SETTLING: LotState.SETTLING,
    OutboxState.DEFAULTED: LotState.SETTLING,
    OutboxState.REFUSED: LotState.SETTLING,
    OutboxState.HELD: LotState.SETTLING,  # a dispute can still end it either way
    OutboxState.DISPUTED: LotState.SETTLING,
    OutboxState.SETTLED: LotState.SETTLED,
    OutboxState.REFUNDED: LotState.REFUNDED,
}
"""What the lot is called meanwhile (design §4)."""

FINAL: Final = frozenset(state for state, after in OUTBOX.items() if not after)
"""Nothing follows: no longer in the outbox."""
UNSETTLED: Final = frozenset(OutboxState) - _ON_CHAIN
"""Nothing of the buyer's is set aside for it yet: counts against the limit of unsettled value."""


class Act(Enum):
    """What a transaction of the settler does; the program's instructions of these names."""

    SETTLE = "settle"
    RECORD_DEFAULT = "record_default"
    RELEASE = "release"


DONE_IN: Final[dict[Act, frozenset[OutboxState]]] = {
    Act.SETTLE: frozenset(_ON_CHAIN),
    Act.RECORD_DEFAULT: frozenset(_ON_CHAIN | {OutboxState.DEFAULTED}),
    Act.RELEASE: FINAL,
}
"""act → the states in which its transaction has nothing left to do."""


class OutboxError(ContractsError, ValueError):
    """A row that is no outbox row, or a move that the outbox does not have."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed transaction: exactly these bytes are sent, again and again, until they cannot have an effect any more."""

    act: Act
    raw: bytes
    signature: bytes
    """64 bytes: under this the transaction is found."""
    blockhash: bytes
    last_valid_height: int
    """The last block height in which it can land."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One confirmed trade and where its payment stands."""

    lot_id: LotId
    buyer: DeviceId
    message_id: int
    """Of the Confirm."""
    energy: Wh
    price: MicroPerKwh
    record: bytes
    """The buyer's signed Confirm: 212 bytes."""
    buyer_key: bytes
    """The key that signed it: 32 bytes."""
    confirmed_us: WallUs
    state: OutboxState = OutboxState.CONFIRMED
    changed_us: WallUs = WallUs(0)
    attempt: Attempt | None = None
    signed: int = 0
    """Transactions signed for it so far."""
    reason: str = ""
    """Why it is not settled, in words."""
    release_at: int = 0
    """Unix seconds of the chain's clock from which held money can be released."""

    def __post_init__(self) -> None:
        for what, value, size in (("record", self.record, RECORD_SIZE), ("buyer's key", self.buyer_key, KEY_SIZE)):
            if len(value) != size:
                raise OutboxError(f"the {what} of lot {self.lot_id} has {len(value)} bytes; expected {size}")

    @property
    def amount(self) -> Micro:
        """What the buyer owes, µ."""
        return money(self.price, self.energy)

    @property
    def record_hash(self) -> bytes:
        """What the chain keeps of the record."""
        return sha256(self.record).digest()

    @property
    def live(self) -> Attempt | None:
        """The transaction that may still have something to do."""
        attempt = self.attempt
        return None if attempt is None or not attempt.raw or self.state in DONE_IN[attempt.act] else attempt

    def moved(self, state: OutboxState, time_us: WallUs, reason: str = "") -> "Entry":
        """The entry in another state. Raises OutboxError where the table has no such move."""
        if state is not self.state and state not in OUTBOX[self.state]:
            raise OutboxError(f"lot {self.lot_id} cannot go from {self.state.value} to {state.value}")
        return replace(self, state=state, changed_us=time_us, reason=reason[:MAX_REASON])


def confirmed(record: bytes, buyer_key: bytes, time_us: WallUs) -> Entry:
    """A new entry: what the buyer's signed Confirm (212 bytes) says. Raises OutboxError."""
    if len(record) != RECORD_SIZE:
        raise OutboxError(f"a record has {len(record)} bytes; expected {RECORD_SIZE}")
    said = trailer(record)
    return Entry(
        lot_id=said.lot_id,
        buyer=DeviceId(frame.decode(record[: frame.FRAME_SIZE]).device_id),
        message_id=message_id_of(record),
        energy=said.energy,
        price=said.price,
        record=record,
        buyer_key=buyer_key,
        confirmed_us=time_us,
    )


def row(entry: Entry) -> Row:
    """The entry's journal row; the first one belongs in the transaction that confirms the trade."""
    body: dict[str, Scalar] = {
        "bidder": entry.buyer,
        "message_id": entry.message_id,
        "energy_wh": entry.energy,
        "price_micro_per_kwh": entry.price,
        "amount_micro": entry.amount,
        "record": entry.record.hex(),
        "buyer_key": entry.buyer_key.hex(),
        "confirmed_us": entry.confirmed_us,
        "signed": entry.signed,
        "reason": entry.reason,
        "release_at": entry.release_at,
    }
    if entry.attempt is not None:
        body |= {
            "act": entry.attempt.act.value,
            "signature": entry.attempt.signature.hex(),
            "blockhash": entry.attempt.blockhash.hex(),
            "last_valid_height": entry.attempt.last_valid_height,
        }
        if entry.live is not None:
            body["transaction"] = b64encode(entry.attempt.raw).decode()
    time_us = WallUs(max(entry.confirmed_us, entry.changed_us))
    subject = str(entry.lot_id)
    return Row(KIND, entry.lot_id, entry.state.value, time_us, body, subject, pending=entry.state not in FINAL)


def entry_of(row: Row) -> Entry:
    """The entry that `row` wrote. Raises OutboxError."""
    body = row.body
    if row.kind != KIND:
        raise OutboxError(f"a row of kind {row.kind!r} is not of the outbox; expected {KIND!r}")

    def number(name: str) -> int:
        return int(str(body[name]))

    try:
        return Entry(
            lot_id=LotId(row.lot_id),
            buyer=DeviceId(number("bidder")),
            message_id=number("message_id"),
            energy=Wh(number("energy_wh")),
            price=MicroPerKwh(number("price_micro_per_kwh")),
            record=bytes.fromhex(str(body["record"])),
            buyer_key=bytes.fromhex(str(body["buyer_key"])),
            confirmed_us=WallUs(number("confirmed_us")),
            state=OutboxState(row.state),
            changed_us=row.time_us,
            attempt=_attempt_of(row),
            signed=number("signed"),
            reason=str(body["reason"]),
            release_at=number("release_at"),
        )
    except (KeyError, ValueError) as error:
        raise OutboxError(f"the outbox row of lot {row.lot_id} cannot be read: {error}") from error


def _attempt_of(row: Row) -> Attempt | None:
    body = row.body
    if "signature" not in body:
        return None
    return Attempt(
        act=Act(str(body["act"])),
        raw=b64decode(str(body.get("transaction", ""))),
        signature=bytes.fromhex(str(body["signature"])),
        blockhash=bytes.fromhex(str(body["blockhash"])),
        last_valid_height=int(str(body["last_valid_height"])),
    )
