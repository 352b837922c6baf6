"""The ledger: what has to be kept so that the same chain comes up again. Lines in, records out; the file is `io`'s.

One line a record: eight hex digits, a space, JSON. The digits are the CRC-32 of the JSON, begun with the CRC of the line
before, so a line that is changed, lost or moved does not follow. (A CRC finds a disk's faults, not a forger: whoever can
write here owns the chain anyway.)
"""

from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

import msgspec

from contracts.devnet.errors import LedgerError

HEAD: Final = 9
"""Digits and space."""


class Genesis(msgspec.Struct, frozen=True, tag="genesis", tag_field="kind"):
    """The first record: what makes this chain another than all others."""

    hash: bytes
    """32 random bytes."""
    faucet: bytes
    """Public key of the faucet, which is rich and mints the test USDC, 32 bytes."""


class Segment(msgspec.Struct, frozen=True, tag="segment", tag_field="kind"):
    """A start of the daemon, or a clock that was set back: from here on slots are counted so."""

    slot: int
    wall_us: int
    """When `slot` begins, µs since 1970."""
    slot_ms: int
    finality_slots: int
    program: bytes
    """SHA-256 of the settlement program that runs from here on; empty where there is none."""


class Transaction(msgspec.Struct, frozen=True, tag="transaction", tag_field="kind"):
    """A transaction that landed, whether it did what it should or failed and paid its fee."""

    slot: int
    raw: bytes
    outcome: bytes
    """Digest of its error and of every account it could write: replayed, it must come to the same."""


Record = Genesis | Segment | Transaction
_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)


class LineWriter:
    """Records into lines."""

    def __init__(self, before: int = 0) -> None:
        """`before`: the CRC of the last line that there is."""
        self._before = before

    def lines(self, records: Iterable[Record]) -> bytes:
        """The records' lines, in order."""
        return b"".join(self._line(record) for record in records)

    def _line(self, record: Record) -> bytes:
        body = msgspec.json.encode(record)
        self._before = crc32(body, self._before)
        return b"%08x %s\n" % (self._before, body)


class LineReader:
    """Lines into records."""

    def __init__(self) -> None:
        self.number = 0
        self.whole_bytes = 0
        """How much of the file is whole lines: what follows was being written when the power went, and is cut off."""
        self.before = 0
        """CRC of the last whole line."""

    def records(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """The records of a file's lines, each with its line feed. Raises LedgerError.

        Only a last line without its line feed is torn. A whole line that is wrong was acknowledged once, so it is refused
        even at the end: money that was answered for must not vanish silently.
        """
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self.number += 1
            yield self._record(line[:-1])
            self.whole_bytes += len(line)

    def _record(self, line: bytes) -> Record:
        head, body = line[:HEAD], line[HEAD:]
        check = crc32(body, self.before)
        if head != b"%08x " % check:
            raise LedgerError(
                self.number, "does not match its checksum: it, or the line before it, was changed or lost"
            )
        self.before = check
        try:
            return _DECODER.decode(body)
        except msgspec.MsgspecError as error:
            raise LedgerError(self.number, f"is none that this version knows: {error}") from error
