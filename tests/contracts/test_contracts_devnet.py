"""The whole way over `etp devnet` in a process of its own: a market, its members, an escrow, 20 trades paid and read back."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from solders.pubkey import Pubkey

from contracts.io.idl import load_interface
from contracts.outbox import Act, Entry, confirmed, row
from contracts.transactions import COMPUTE_UNITS, CREATE_UNITS
from etp.codes import MessageType
from etp.frame import Frame, encode
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, LotId, MessageId
from runtime.io.journal import Journal
from runtime.io.key_file import load_key
from runtime.io.registry_file import load_registry
from tests.commands import tool
from tests.paying import until

BATTERY_ID, BUYER_ID, TRADES = 101, 500, 20
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """A chain, a market on it, and the files of its members."""

    directory: Path
    rpc: str
    mint: str

    def key(self, name: str) -> KeyPair:
        """A member's key."""
        return load_key(self.directory / f"{name}.json")

    def etp(self, *arguments: str, status: int = 0) -> str:
        """Run a command; what it prints."""
        env = {"ETP_REGISTRY": str(self.directory / "registry.toml"), "ETP_RPC": self.rpc}
        said = tool(*arguments, env=env, status=status).output
        assert "Traceback" not in said
        return said

    def fund(self, name: str, micro: int) -> None:
        """SOL for a key, and test USDC."""
        owner = str(Pubkey(self.key(name).public))
        for method, amount in (("requestAirdrop", 10_000_000_000), ("etp_faucet", micro)):
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [owner, amount]}
            if amount:
                assert "result" in httpx.post(self.rpc, json=body).json()

    def units(self, signature: str) -> int:
        """Compute units that a transaction took."""
        options = {"encoding": "json", "maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature, options]}
        found: int = httpx.post(self.rpc, json=body).json()["result"]["meta"]["computeUnitsConsumed"]
        return found

    def trades(self, count: int) -> list[Entry]:
        """Confirmed trades as a battery's journal has them."""
        network = load_registry(self.directory / "registry.toml").network.network_id
        buyer, battery = self.key("buyer"), self.key("battery")
        made = []
        for number in range(count):
            time_us = MessageId(time.time_ns() // 1000)
            frame = Frame(
                MessageType.CONFIRM,
                message_id=time_us,
                device_id=DeviceId(BUYER_ID),
                sale_price=12.3457,
                bid_price=20.0,
                required_energy_amount=1.5 + number / 1000,
            )
            record = seal(
                frame, encode(frame), counter=number + 1, lot_id=time_us + number, recipient=battery.public,
                network=network, sign=buyer.sign,
            )  # fmt: skip
            made.append(confirmed(record, buyer.public, time_us))
        return made

    def write(self, state_dir: Path, entries: list[Entry]) -> None:
        """Into a battery's journal, as the daemon does with each Confirm."""

        async def work() -> None:
            journal = Journal.open(state_dir, role="bess", device_id=BATTERY_ID)
            await journal.commit([row(entry) for entry in entries])
            journal.close()

        asyncio.run(work())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A devnet at 40 ms slots with an open market and funded members."""
    directory = tmp_path_factory.mktemp("market")
    devnet = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "devnet", "--listen", "127.0.0.1:0", "--state-dir", str(directory / "chain"),
         "--slot-ms", "40", "--finality-slots", "4"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert devnet.stdout is not None
        ready = json.loads(devnet.stdout.readline())
        made = World(directory, ready["rpc"], ready["mint"])
        _found(made, ready)
        yield made
    finally:
        devnet.terminate()
        devnet.wait(timeout=20)
        assert devnet.stdout is not None
        devnet.stdout.close()


def _found(world: World, ready: dict[str, str]) -> None:
    directory = world.directory
    for name in ("admin", "battery", "buyer"):
        world.etp("keygen", str(directory / f"{name}.json"))
    admin = str(Pubkey(world.key("admin").public))
    world.etp(
        "registry", "init", "--name", "street", "--genesis-hash", ready["genesis_hash"], "--program-id",
        ready["program_id"], "--admin", admin,
    )  # fmt: skip
    for device_id, role, name in ((BATTERY_ID, "bess", "battery"), (BUYER_ID, "aggregator", "buyer")):
        key = str(directory / f"{name}.json")
        world.etp("registry", "add", "--device-id", str(device_id), "--role", role, "--key", key)
    world.fund("admin", 0)
    world.fund("buyer", 100_000_000)
    world.fund("battery", 0)
    admin_key = ["--key", str(directory / "admin.json")]
    world.etp("market", "open", *admin_key, "--mint", world.mint, "--fee-bps", "50", "--dispute-window-s", "0")
    for device_id, name in ((BATTERY_ID, "battery"), (BUYER_ID, "buyer")):
        device = ["--device-id", str(device_id), "--device-key", str(directory / f"{name}.json")]
        world.etp("market", "register", *admin_key, *device)


def buyer(world: World) -> list[str]:
    return ["--key", str(world.directory / "buyer.json"), "--device-id", str(BUYER_ID)]


def test_twenty_trades_are_settled_read_back_and_verified(world: World) -> None:
    """From the record in a journal to the battery's money, by the commands that a user has."""
    state_dir, battery_key = world.directory / "bess", str(world.directory / "battery.json")
    world.etp("escrow", "deposit", *buyer(world), "50")
    before = json.loads(world.etp("escrow", "show", "--device-id", str(BUYER_ID)))
    assert before["free_micro"] == before["available_micro"] == 50_000_000

    entries = world.trades(TRADES)
    world.write(state_dir, entries)
    assert f"{TRADES} trades, 0 of them settled" in world.etp("settle", "status", "--state-dir", str(state_dir))
    began = time.monotonic()
    assert "all trades are on the chain" in world.etp(
        "settle", "retry", "--state-dir", str(state_dir), "--key", battery_key
    )
    assert time.monotonic() - began < 30

    after = json.loads(world.etp("escrow", "show", "--device-id", str(BUYER_ID)))
    owed = sum(entry.amount for entry in entries)
    assert before["available_micro"] - after["available_micro"] == owed
    lines = world.etp("settle", "status", "--state-dir", str(state_dir), "--all", "--json").splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["settled"] * TRADES
    used = [world.units(json.loads(line)["signature"]) for line in lines]
    assert max(used) * 1.3 < COMPUTE_UNITS[Act.SETTLE] + CREATE_UNITS, used
    verified = world.etp("settle", "verify", str(entries[0].lot_id), "--state-dir", str(state_dir))
    assert "NOT" not in verified
    assert "the chain's account says what the outbox says" in verified
    assert "0 differences" in world.etp("settle", "reconcile", "--state-dir", str(state_dir))


def test_a_journal_from_a_copy_is_noticed(world: World) -> None:
    """A battery whose journal was put back finds trades on the chain that it does not know."""
    copy = world.directory / "old"
    old = replace(world.trades(1)[0], lot_id=LotId(1))
    world.write(copy, [old])
    said = world.etp("settle", "reconcile", "--state-dir", str(copy), status=1)
    assert "above our last one, 1: the journal is older than the chain" in said
    assert f"{TRADES} differences" in said


def test_a_short_escrow_is_said_and_paid_after_a_deposit(world: World) -> None:
    """The buyer has taken its money out: nothing is lost, and nothing is paid that is not there."""
    state_dir, battery_key = world.directory / "bess", str(world.directory / "battery.json")
    held = json.loads(world.etp("escrow", "show", "--device-id", str(BUYER_ID)))["available_micro"]
    count = held // 185_000 + 2
    entries = world.trades(count)
    world.write(state_dir, entries)
    retry = ("settle", "retry", "--state-dir", str(state_dir), "--key", battery_key)
    until(lambda: "must deposit" in world.etp(*retry, "--for-s", "4", status=1), 60, "the word of what is short")
    world.etp("escrow", "deposit", *buyer(world), "40")
    world.etp(*retry)
    assert "0 differences" in world.etp("settle", "reconcile", "--state-dir", str(state_dir))


def test_what_is_wrong_is_said_in_one_line(world: World) -> None:
    """Another chain's RPC, a key that is not the admin's, an amount that is none, a lot that is none."""
    rpc_down = ["--rpc", "http://127.0.0.1:9"]
    said = world.etp("market", "show", *rpc_down, status=1)
    assert "cannot be reached" in said
    wrong = ["--key", str(world.directory / "buyer.json"), "--device-id", "7"]
    assert "not the key of this market's admin" in world.etp("market", "revoke", *wrong, status=1)
    assert "at most 6 decimals" in world.etp("escrow", "deposit", *buyer(world), "1.2345678", status=2)
    said = world.etp(
        "dispute", "open", "--key", str(world.directory / "buyer.json"), "--battery", "101", "--lot", "5", status=1
    )
    assert "is the lot_id right" in said
    other = world.directory / "other.toml"
    text = (world.directory / "registry.toml").read_text().splitlines()
    genesis = next(line for line in text if line.startswith("genesis_hash"))
    other.write_text("\n".join(text).replace(genesis, f'genesis_hash = "{Pubkey(bytes([9] * 32))}"'))
    assert "is of another chain" in world.etp("market", "show", "--registry", str(other), status=1)


def test_the_idl_is_the_programs(world: World) -> None:
    """The market's rules as the chain has them, read by the IDL."""
    rules = json.loads(world.etp("market", "show"))
    assert (rules["fee_bps"], rules["dispute_window"], rules["min_amount"]) == (50, 0, 1)
    assert rules["mint"] == world.mint
    assert load_interface().size("Market") == 207
