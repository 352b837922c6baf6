"""The tables of docs/settlement.md and docs/clusters.md, from the code and the IDL that settle."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from construct import Const
from pyheck import snake

from contracts.io.idl import IDL_FILE, load_interface
from contracts.outbox import LOT_STATE, OUTBOX, UNSETTLED, Act, OutboxState
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.transactions import COMPUTE_UNITS
from etp.frame import FRAME_SIZE
from etp.record import TRAILER
from runtime.backoff import Backoff
from tools.generated import ROOT, attribute_docs, main, table

SETTLEMENT_PAGE: Final = ROOT / "docs" / "settlement.md"
CLUSTERS_PAGE: Final = ROOT / "docs" / "clusters.md"
IDL: Final[dict[str, Any]] = json.loads(IDL_FILE.read_text())

RECORD_FIELDS: Final = {
    "magic": "`ETPS`",
    "version": "1",
    "algorithm": "1: Ed25519 (RFC 8032)",
    "zero": "0",
    "counter": "boot << 32 | seq: boot is above the last one and at least the wall clock's seconds, seq rises from 1 per boot",
    "lot_id": "the lot that the message speaks of, 0: none",
    "price": "µ/kWh, exactly what the frame says: Response and Reject the ask, Bid what is bid, Accept and Confirm what is paid; else 0",
    "energy": "Wh, likewise: Response for sale, Bid wanted, Accept and Confirm awarded; else 0",
    "recipient": "the reader's public key; to the multicast group SHA-256 of `group:port`; 0 in a farewell to who never said its id",
    "signature": "by the sender's key over the 191 bytes below",
}
"""What each field of the trailer holds."""

LAMPORTS_PER_BYTE: Final = 6_960
"""Of rent exemption, by the rule of the local chain: 3,480 a year, for two years."""
ACCOUNT_OVERHEAD: Final = 128
"""Bytes that rent is charged for beyond an account's data."""
TOKEN_ACCOUNT_SIZE: Final = 165
"""Of the SPL Token program."""
LAMPORTS_PER_SIGNATURE: Final = 5_000
"""The precompile's signature costs as much as a signer's."""
SIGNATURES: Final = {Act.SETTLE: 2, Act.RECORD_DEFAULT: 2, Act.RELEASE: 1}
UNIT_PRICE: Final = 10_000
"""Of the example, millionths of a lamport per compute unit."""
PAID_BY: Final = {
    "Market": ("the admin, once", "never"),
    "Participant": ("the admin, once per device", "never"),
    "DeviceKey": ("the admin, once per device", "never"),
    "Escrow": ("the aggregator, once", "never"),
    "Trade": ("the battery, per trade", "with `close_trade`"),
}


def record() -> str:
    """The trailer's layout."""
    rows, at = [], FRAME_SIZE
    for sub in TRAILER.subcons:
        if sub.name:
            size = sub.sizeof()
            is_number = not isinstance(sub.subcon, Const) and hasattr(sub.subcon, "fmtstr")
            kind = f"u{8 * size}" if is_number or sub.name in ("version", "algorithm", "zero") else "bytes"
            rows.append((at - FRAME_SIZE, at, size, f"`{sub.name}`", kind, RECORD_FIELDS[sub.name]))
            at += size
    return table((">in the trailer", ">in the record", ">bytes", "field", "type", "what"), rows)


def outbox() -> str:
    """The outbox's states and moves."""
    docs = attribute_docs(OutboxState)
    rows = (
        (
            f"`{state.value}`",
            docs[state.name],
            ", ".join(one.value for one in OutboxState if one in OUTBOX[state] and one is not state) or "nothing",
            "yes" if state in UNSETTLED else "no",
            LOT_STATE[state].value,
        )
        for state in OutboxState
    )
    return table(("state", "meaning", "may become", "counts as unsettled", "its lot is"), rows)


def _documented(entry: dict[str, Any]) -> str:
    return " ".join(entry["docs"])


def accounts() -> str:
    """The program's accounts."""
    rows = []
    for account in IDL["accounts"]:
        fields = ", ".join(snake(field["name"]) for field in account["type"]["fields"])
        rows.append((account["name"], _snaked(_documented(account)), fields))
    return table(("account", "what", "fields"), rows)


def _snaked(text: str) -> str:
    """The IDL's camelCase names as the code and these pages write them."""
    return re.sub(r"\b[a-z]+(?:[A-Z][a-z]*)+\b", lambda found: f"`{snake(found[0])}`", text)


def _signers(instruction: dict[str, Any]) -> str:
    return " and ".join(snake(one["name"]) for one in instruction["accounts"] if one["isSigner"]) or "anyone"


def instructions() -> str:
    """The program's instructions: who signs, and what they do."""
    rows = ((f"`{snake(one['name'])}`", _signers(one), _snaked(_documented(one))) for one in IDL["instructions"])
    return table(("instruction", "signed by", "what"), rows)


def _text(value: object) -> str:
    if isinstance(value, Backoff):
        return f"{value.first_s:g} to {value.limit_s:,g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _fields_of(owner: Any) -> Iterator[tuple[str, str, str]]:
    for name, what in attribute_docs(type(owner)).items():
        yield f"`{name}`", _text(getattr(owner, name)), what.replace(" (docs/settlement.md)", "")


def settler() -> str:
    """How often the settler asks and how long it waits."""
    return table(("name", ">default", "what"), _fields_of(SettlerTiming()))


def limits() -> str:
    """What the settler takes on."""
    return table(("name", ">default", "what"), _fields_of(SettlerLimits()))


def rent(size: int) -> int:
    """Lamports that keep an account of so many bytes on the chain."""
    return (size + ACCOUNT_OVERHEAD) * LAMPORTS_PER_BYTE


def rents() -> str:
    """What the accounts cost."""
    interface = load_interface()
    rows = [(name, interface.size(name), f"{rent(interface.size(name)):,}", *paid) for name, paid in PAID_BY.items()]
    token = (TOKEN_ACCOUNT_SIZE, f"{rent(TOKEN_ACCOUNT_SIZE):,}")
    rows.append(("the battery's token account", *token, "the battery, once", "when its owner closes it"))
    rows.append(("the escrow's token account", *token, "the aggregator, once", "never"))
    return table(("account", ">bytes", ">lamports", "paid by", "comes back"), rows)


def fees() -> str:
    """What the settler's transactions cost."""
    rows = []
    for act, signatures in SIGNATURES.items():
        units, fee = COMPUTE_UNITS[act], signatures * LAMPORTS_PER_SIGNATURE
        rows.append(
            (f"`{act.value}`", signatures, f"{fee:,}", f"{units:,}", f"{fee + units * UNIT_PRICE // 1_000_000:,}")
        )
    headings = ("transaction", ">signatures", ">fee, lamports", ">compute units asked for")
    return table((*headings, f">fee with `--unit-price {UNIT_PRICE}`"), rows)


SETTLEMENT_PARTS: Final = {
    "record": record,
    "accounts": accounts,
    "instructions": instructions,
    "outbox": outbox,
    "settler": settler,
    "settler-limits": limits,
}
CLUSTERS_PARTS: Final = {"rents": rents, "fees": fees}


def draw(arguments: tuple[str, ...] = ()) -> int:
    """Draw both pages, or check them."""
    done = [
        main(page, parts, arguments)
        for page, parts in ((SETTLEMENT_PAGE, SETTLEMENT_PARTS), (CLUSTERS_PAGE, CLUSTERS_PARTS))
    ]
    return max(done)
