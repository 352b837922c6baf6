"""The daemon of `etp devnet`: the chain of a directory, served on a loopback port until told to stop."""

import os
import socket
from importlib.resources import files
from typing import Final

import structlog
from solders.hash import Hash

from contracts.addresses import PROGRAM_ID
from contracts.devnet.bank import Bank, Pace
from contracts.devnet.io.server import MAX_CONNECTIONS, App, Server
from contracts.devnet.io.store import Store, StoreError
from contracts.devnet.settings import DevnetSettings, check_listen
from etp.io.clock import system_now
from runtime.io.lifecycle import Lifecycle, announce, raise_open_file_limit
from runtime.settings import SettingsError

PROGRAM: Final = "etp_settlement.so"
OTHER_FILES: Final = 64


async def run(settings: DevnetSettings, lifecycle: Lifecycle) -> int:
    """Serve until told to stop; 0 after an orderly end."""
    address = check_listen(settings)
    raise_open_file_limit(MAX_CONNECTIONS + OTHER_FILES)
    store = Store.open(settings.state_dir)
    try:
        with _listener(settings, address) as listener:
            return await _serve(settings, lifecycle, store, listener)
    finally:
        store.close()


def _listener(settings: DevnetSettings, address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address, backlog=MAX_CONNECTIONS)
    except OSError as error:
        right = f"cannot be listened at: {os.strerror(error.errno or 0)}; port 0 picks a free one"
        raise SettingsError("listen", settings.listen, right) from error


async def _serve(settings: DevnetSettings, lifecycle: Lifecycle, store: Store, listener: socket.socket) -> int:
    bank = _bank(settings, store)
    writer = lifecycle.tasks.create_task(store.write_on())
    store.append(bank.take_records())
    await store.durable()
    server = Server(App(bank, store))
    serving = lifecycle.tasks.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    host, port = listener.getsockname()
    rpc = f"http://{host}:{port}"
    slots = bank.chain.slots
    structlog.get_logger().info(
        "serving", rpc=rpc, slot=slots.processed, transactions=bank.chain.count, state_dir=str(settings.state_dir)
    )
    announce(_ready_line(bank, rpc))
    await lifecycle.stopping.wait()
    server.should_exit = True
    await serving
    store.finish()
    await writer
    return 0


def _bank(settings: DevnetSettings, store: Store) -> Bank:
    """The chain of the directory, or a new one. Raises DevnetError."""
    new, faucet = store.is_new, store.faucet()
    pace = Pace(settings.slot_ms, settings.finality_slots, store.keep_program(_program()))
    records = store.records()
    if new:
        list(records)  # to its end: a torn first line is cut off
        return Bank.begin(os.urandom(32), faucet, pace, store.program, system_now())
    return Bank.restore(records, faucet, pace, store.program, system_now())


def _program() -> bytes:
    try:
        return (files("contracts") / PROGRAM).read_bytes()
    except OSError as error:
        raise StoreError(f"the program {PROGRAM} is missing from this installation: {error.strerror}") from error


def _ready_line(bank: Bank, rpc: str) -> dict[str, object]:
    return {
        "ready": True,
        "role": "devnet",
        "rpc": rpc,
        "program_id": str(PROGRAM_ID),
        "mint": str(bank.chain.mint),
        "genesis_hash": str(Hash(bank.chain.genesis.hash)),
    }
