"""The chain's directory: group commit, a disk that fails, a program that was changed, a start that was cut short."""

import asyncio
import os
from pathlib import Path

import pytest

from contracts.devnet.io.store import FAUCET, LEDGER, Store, StoreError
from contracts.devnet.ledger import Genesis, Segment, Transaction
from runtime.io.journal import JournalInUse

RECORD = Transaction(1, b"raw", b"outcome1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    opened = Store.open(tmp_path / "chain")
    assert list(opened.records()) == []
    return opened


async def test_what_gathers_is_one_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred records in a turn cost one fsync; each is durable when its waiter goes on, and is read again in order."""
    syncs: list[int] = []
    monkeypatch.setattr(os, "fsync", syncs.append)
    writing = asyncio.create_task(store.write_on())
    records = [Transaction(number, b"raw", b"outcome1") for number in range(200)]
    for half in (records[:100], records[100:]):
        waiting = []
        for record in half:
            store.append([record])
            waiting.append(asyncio.create_task(store.durable()))
        await asyncio.gather(*waiting)
    store.finish()
    await writing
    store.close()
    assert len(syncs) == 2
    again = Store.open(store.directory)
    assert list(again.records()) == records
    again.close()


async def test_a_disk_that_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing ends with what is wrong, and nobody is told that it is durable."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.append([RECORD])
    waiting = asyncio.create_task(store.durable())
    with pytest.raises(StoreError, match="No space left on device"):
        await store.write_on()
    assert not waiting.done()
    waiting.cancel()
    store.close()


def test_a_directory_in_use(store: Store) -> None:
    """One process at a time."""
    with pytest.raises(JournalInUse, match="in use"):
        Store.open(store.directory)
    store.close()
    Store.open(store.directory).close()


def test_a_program_that_was_changed(store: Store) -> None:
    """A program's name is its SHA-256; another content is refused, and so is a missing one."""
    digest = store.keep_program(b"program")
    assert store.keep_program(b"program") == digest
    assert store.program(digest) == b"program"
    path = store.directory / f"program-{digest.hex()}.so"
    path.write_bytes(b"another")
    with pytest.raises(StoreError, match="changed"):
        store.program(digest)
    path.unlink()
    with pytest.raises(StoreError, match="missing"):
        store.program(digest)
    store.close()


async def test_a_start_that_was_cut_short(store: Store) -> None:
    """A key, and half a first line: the chain is new still, and the same key is used. With a chain, its key must be there."""
    key = store.faucet()
    assert (store.directory / FAUCET).stat().st_mode & 0o777 == 0o600
    store.close()
    ledger = store.directory / LEDGER
    ledger.write_bytes(b'01234567 {"kind":"gene')
    again = Store.open(store.directory)
    assert again.is_new
    assert again.faucet() == key
    assert list(again.records()) == []
    assert ledger.read_bytes() == b""
    writing = asyncio.create_task(again.write_on())
    records = [Genesis(b"g" * 32, bytes(key.pubkey())), Segment(1, 1, 400, 32, b"")]
    again.append(records)
    again.finish()
    await writing
    again.close()
    third = Store.open(store.directory)
    assert not third.is_new
    assert list(third.records()) == records
    (store.directory / FAUCET).unlink()
    with pytest.raises(StoreError, match="faucet"):
        third.faucet()
    third.close()
