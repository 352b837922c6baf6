"""The ledger's lines: whole, torn at every byte, changed, lost, moved."""

from io import BytesIO
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.devnet.errors import LedgerError
from contracts.devnet.ledger import Genesis, LineReader, LineWriter, Record, Segment, Transaction

RECORDS: list[Record] = [
    Genesis(b"g" * 32, b"f" * 32),
    Segment(1, 1_700_000_000_000_000, 400, 32, b""),
    Transaction(5, b"raw bytes", b"outcome1"),
    Transaction(6, b"other bytes", b"outcome2"),
]
LINES = LineWriter().lines(RECORDS)


def read(data: bytes) -> tuple[list[Record], LineReader]:
    """The records of a file, and the reader that read them."""
    reader = LineReader()
    return list(reader.records(BytesIO(data))), reader


def test_a_line_is_what_is_documented() -> None:
    """CRC, space, JSON with bytes in base64."""
    line = LineWriter().lines(RECORDS[2:3])
    assert line == b'a01b6759 {"kind":"transaction","slot":5,"raw":"cmF3IGJ5dGVz","outcome":"b3V0Y29tZTE="}\n'


def test_lines_are_read_as_written_and_go_on() -> None:
    """A writer that takes up another's work makes lines that follow."""
    records, reader = read(LINES)
    assert records == RECORDS
    assert reader.whole_bytes == len(LINES)
    more = LineWriter(reader.before).lines(RECORDS[3:])
    assert read(LINES + more)[0] == [*RECORDS, RECORDS[3]]


def test_a_torn_end_is_no_record() -> None:
    """Cut at each byte: the whole lines are read, and how long they are is known."""
    for length in range(len(LINES)):
        whole = LINES[:length].rfind(b"\n") + 1
        records, reader = read(LINES[:length])
        assert records == RECORDS[: LINES[:length].count(b"\n")]
        assert reader.whole_bytes == whole


@given(st.integers(0, len(LINES) - 2), st.integers(1, 255))
def test_a_changed_byte_is_refused(place: int, flip: int) -> None:
    """Anywhere in a whole line, the last one too; the line is named."""
    changed = bytearray(LINES)
    changed[place] ^= flip
    with pytest.raises(LedgerError) as error:
        read(bytes(changed))
    # A line feed more or less moves the fault by one line.
    assert abs(error.value.line - 1 - LINES[:place].count(b"\n")) <= 1


def test_a_lost_or_moved_line_is_refused() -> None:
    """Each line follows from the one before."""
    first, second, third, fourth = LINES.splitlines(keepends=True)
    for order in ((first, third), (second,), (first, second, fourth, third), (first, first)):
        with pytest.raises(LedgerError, match="does not match its checksum"):
            read(b"".join(order))


def test_a_record_of_another_version_is_refused() -> None:
    """It says that it is not known, rather than being skipped."""
    body = b'{"kind":"fork","slot":1}'
    with pytest.raises(LedgerError, match="none that this version knows"):
        read(b"%08x %s\n" % (crc32(body), body))
