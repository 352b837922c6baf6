"""A chain's directory: the lock, the ledger's file with its group commit, the faucet's key, the programs that it runs.

What gathers while a write is on its way to the disk goes into the next one, so durability costs milliseconds, not throughput.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from solders.keypair import Keypair

from contracts.devnet.errors import DevnetError
from contracts.devnet.ledger import LineReader, LineWriter, Record
from runtime.io.journal import JournalInUse
from runtime.io.key_file import KeyFileError, load_key, make_key
from runtime.io.state_lock import lock_directory

LEDGER: Final = "ledger.jsonl"
LOCK: Final = "devnet.lock"
FAUCET: Final = "faucet.json"
DIGEST_SIZE: Final = 32


class StoreError(DevnetError):
    """The directory cannot be used, or the disk does not take what it is given."""


class Store:
    """See the module. Open it, read `records` to their end, then append; all in the loop's thread."""

    def __init__(self, directory: Path, lock: IO[bytes], file: IO[bytes]) -> None:
        self.directory = directory
        self._lock, self._file = lock, file
        self._reader = LineReader()
        self._writer = LineWriter()
        self._waiting: list[bytes] = []
        self._appended = self._durable = 0
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._closing = False

    @classmethod
    def open(cls, directory: Path) -> "Store":
        """Lock and open a chain's directory; made where it is missing. Raises JournalInUse, StoreError."""
        try:
            lock = lock_directory(directory, LOCK)
        except OSError as error:
            raise StoreError(f"state directory {directory} cannot be used: {error.strerror}") from error
        if lock is None:
            raise JournalInUse(directory)
        try:
            file = (directory / LEDGER).open("a+b", buffering=0)
        except OSError as error:
            lock.close()
            raise StoreError(f"the ledger in {directory} cannot be opened: {error.strerror}") from error
        return cls(directory, lock, file)

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()
        self._lock.close()

    @property
    def is_new(self) -> bool:
        """Whether no chain was begun here: a first line that is torn began none."""
        with (self.directory / LEDGER).open("rb") as file:
            return not file.readline().endswith(b"\n")

    def records(self) -> Iterator[Record]:
        """The ledger's records; then what a last write left half done is cut off. Raises LedgerError, StoreError."""
        with (self.directory / LEDGER).open("rb") as lines:
            yield from self._reader.records(lines)
        self._writer = LineWriter(self._reader.before)
        try:
            self._file.truncate(self._reader.whole_bytes)
            os.fsync(self._file.fileno())
            _sync_directory(self.directory)
        except OSError as error:
            raise StoreError(f"the ledger in {self.directory} cannot be repaired: {error.strerror}") from error

    def faucet(self) -> Keypair:
        """The faucet's key; made, with mode 0600, where the chain is new. Raises StoreError."""
        path = self.directory / FAUCET
        # A key without a ledger is what a start that was cut short leaves behind.
        make = self.is_new and not path.exists()
        try:
            return Keypair.from_seed((make_key(path) if make else load_key(path)).seed)
        except KeyFileError as error:
            raise StoreError(f"the faucet needs its key, which was made with the chain: {error}") from error

    def keep_program(self, program: bytes) -> bytes:
        """Keep a copy of a program, for replays after a newer one was shipped; returns its SHA-256. Raises StoreError."""
        digest = sha256(program).digest()
        path = self._program_path(digest)
        try:
            if not path.exists():
                half = path.with_suffix(".half")
                with half.open("wb") as file:
                    file.write(program)
                    os.fsync(file.fileno())
                half.replace(path)
                _sync_directory(self.directory)
        except OSError as error:
            raise StoreError(f"the program cannot be kept in {self.directory}: {error.strerror}") from error
        return digest

    def program(self, digest: bytes) -> bytes:
        """A program that was kept. Raises StoreError."""
        path = self._program_path(digest)
        try:
            found = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} is missing, which the ledger needs: {error.strerror}") from error
        if sha256(found).digest() != digest:
            raise StoreError(f"{path} was changed: its name is its SHA-256; put the right file back")
        return found

    def _program_path(self, digest: bytes) -> Path:
        return self.directory / f"program-{digest.hex()}.so"

    # -- writing

    def append(self, records: Sequence[Record]) -> None:
        """Records for the next write."""
        if records:
            self._waiting.append(self._writer.lines(records))
            self._appended += 1
            self._wake.set()

    async def durable(self) -> None:
        """Wait until all that was appended so far is on the disk."""
        wanted = self._appended
        while self._durable < wanted:
            await self._moved.wait()

    async def write_on(self) -> None:
        """Write what gathers, until `finish` and all is written. Raises StoreError where the disk fails: nothing goes on then."""
        while not self._closing or self._waiting:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            data, appended = b"".join(self._waiting), self._appended
            self._waiting.clear()
            try:
                await asyncio.to_thread(self._write, data)
            except OSError as error:
                raise StoreError(f"the ledger in {self.directory} cannot be written: {error.strerror}") from error
            self._durable = appended
            self._moved.set()
            self._moved = asyncio.Event()

    def finish(self) -> None:
        """Let `write_on` end."""
        self._closing = True
        self._wake.set()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
