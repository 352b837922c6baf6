"""A real `etp devnet` over a real socket: solana-py's client unchanged, restarts after kill -9, a broken ledger, bad clients."""

import asyncio
import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anchorpy import Context, Idl, Program, Provider, Wallet
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.types import MemcmpOpts, TxOpts
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer
from solders.token import ID as TOKEN_PROGRAM
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction

from contracts.addresses import Place
from contracts.io.idl import IDL_FILE

ROOT = Path(__file__).parents[2]
SOL = 10**9
SLOT_MS = 20
"""Finality after 32 slots is then 0.64 s, and a blockhash lives 3 s."""


class Devnet:
    """One `etp devnet` process."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        with (state.parent / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cli.main", "devnet", "--state-dir", str(state), "--listen", "127.0.0.1:0"),
                    *("--slot-ms", str(SLOT_MS)),
                    *options,
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        assert self.process.stdout is not None
        self.line = json.loads(self.process.stdout.readline())
        self.url = self.line["rpc"]
        self.mint = Pubkey.from_string(self.line["mint"])

    @property
    def address(self) -> tuple[str, int]:
        """Of its socket."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def post(self, body: Any) -> Any:
        """One JSON-RPC request by hand."""
        return httpx.post(self.url, json=body, timeout=10).json()

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call."""
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert "error" not in answer, answer
        return answer["result"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its status."""
        self.process.send_signal(number)
        status = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def devnet(tmp_path: Path) -> Iterator[Devnet]:
    """A chain that is ended by its process id."""
    running = Devnet(tmp_path / "chain")
    yield running
    if running.process.poll() is None:
        running.stop(signal.SIGKILL)


@pytest.fixture
async def client(devnet: Devnet) -> AsyncIterator[AsyncClient]:
    """solana-py's client."""
    async with AsyncClient(devnet.url) as connected:
        yield connected


async def rich(client: AsyncClient) -> Keypair:
    """A wallet with 10 SOL, finalized."""
    key = Keypair()
    given = await client.request_airdrop(key.pubkey(), 10 * SOL)
    await client.confirm_transaction(given.value, Finalized, sleep_seconds=0.05)
    return key


def payment(payer: Keypair, to: Pubkey, lamports: int, blockhash: Hash) -> VersionedTransaction:
    """A transfer."""
    instruction = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))
    return VersionedTransaction(Message.new_with_blockhash([instruction], payer.pubkey(), blockhash), [payer])


async def test_a_payment_by_solana_py(devnet: Devnet, client: AsyncClient) -> None:
    """Airdrop, transfer, confirm to finalized; each commitment in its turn; the transaction and the accounts read back."""
    assert await client.is_connected()
    assert str((await client.get_genesis_hash()).value) == devnet.line["genesis_hash"]
    payer, to = await rich(client), Keypair().pubkey()
    latest = (await client.get_latest_blockhash(Processed)).value
    height = (await client.get_block_height(Processed)).value
    assert height <= latest.last_valid_block_height <= height + 150
    transaction = payment(payer, to, SOL, latest.blockhash)
    assert (await client.get_fee_for_message(transaction.message, Processed)).value == 5000
    assert (await client.simulate_transaction(transaction, commitment=Processed)).value.err is None
    signature = (await client.send_transaction(transaction, TxOpts(preflight_commitment=Processed))).value
    assert [(await client.get_balance(to, each)).value for each in (Processed, Finalized)] == [SOL, 0]
    await client.confirm_transaction(signature, Finalized, sleep_seconds=0.05)
    assert (await client.get_balance(to, Finalized)).value == SOL
    found = (await client.get_transaction(signature, max_supported_transaction_version=0)).value
    assert found is not None
    assert found.transaction.meta is not None
    assert (found.transaction.meta.err, found.transaction.meta.fee) == (None, 5000)
    assert found.transaction.meta.post_balances[1] == SOL
    account = (await client.get_account_info(payer.pubkey())).value
    assert account is not None
    assert (account.lamports, account.owner) == (9 * SOL - 5000, SYSTEM_PROGRAM)


async def test_refusals_by_solana_py(client: AsyncClient) -> None:
    """A repeat, money that is not there, a blockhash past its life: RPCException with what a node says."""
    payer, to = await rich(client), Keypair().pubkey()
    latest = (await client.get_latest_blockhash(Processed)).value
    options = TxOpts(preflight_commitment=Processed)
    first, late = (payment(payer, to, SOL + each, latest.blockhash) for each in range(2))
    await client.send_transaction(first, options)
    with pytest.raises(RPCException, match="already been processed"):
        await client.send_transaction(first, options)
    with pytest.raises(RPCException, match="insufficient lamports"):
        await client.send_transaction(payment(payer, to, 100 * SOL, latest.blockhash), options)
    height = (await client.get_block_height(Processed)).value
    await asyncio.sleep((latest.last_valid_block_height + 1 - height) * SLOT_MS / 1000)
    with pytest.raises(RPCException, match="Blockhash not found"):
        await client.send_transaction(late, options)
    assert (await client.get_balance(to, Processed)).value == SOL


async def test_test_usdc_by_solana_py(devnet: Devnet, client: AsyncClient) -> None:
    """The faucet of our own mints; balances, several accounts, and a search by program find it."""
    owner = Keypair().pubkey()
    signature = Signature.from_string(devnet.call("etp_faucet", str(owner), 2_500_000))
    account = get_associated_token_address(owner, devnet.mint)
    assert (await client.get_token_account_balance(account, Processed)).value.ui_amount_string == "2.5"
    await client.confirm_transaction(signature, Finalized, sleep_seconds=0.05)
    several = (await client.get_multiple_accounts([account, owner, devnet.mint])).value
    assert [each.owner if each else None for each in several] == [TOKEN_PROGRAM, None, TOKEN_PROGRAM]
    filters: list[int | MemcmpOpts] = [165, MemcmpOpts(offset=32, bytes=str(owner))]
    found = (await client.get_program_accounts(TOKEN_PROGRAM, encoding="base64", filters=filters)).value
    assert [each.pubkey for each in found] == [account]


async def test_the_program_by_anchorpy(devnet: Devnet, client: AsyncClient) -> None:
    """A market is opened by the IDL, and its account read back, alone and among several."""
    admin = await rich(client)
    devnet.call("etp_faucet", str(admin.pubkey()), 1)
    provider = Provider(client, Wallet(admin), TxOpts(preflight_commitment=Processed))
    program_id = Pubkey.from_string(devnet.line["program_id"])
    genesis = bytes(Hash.from_string(devnet.line["genesis_hash"]))
    place = Place.named(genesis, program_id, admin.pubkey(), "test")
    program = Program(Idl.from_json(IDL_FILE.read_text()), program_id, provider)
    day = 86_400
    await program.rpc["open_market"](
        list(genesis),
        "test",
        list(place.network_id),
        admin.pubkey(),
        50,
        1000,
        0,
        7 * day,
        8 * day,
        ctx=Context(
            accounts={
                "admin": admin.pubkey(),
                "market": place.market,
                "mint": devnet.mint,
                "fee_account": get_associated_token_address(admin.pubkey(), devnet.mint),
                "system_program": SYSTEM_PROGRAM,
            },
            options=TxOpts(preflight_commitment=Processed),
        ),
    )
    market = await program.account["Market"].fetch(place.market, Processed)
    assert (market.admin, market.mint, market.fee_bps) == (admin.pubkey(), devnet.mint, 50)
    several = await program.account["Market"].fetch_multiple([place.market], commitment=Processed)
    assert several[0].network_id == list(place.network_id)


# -- restarts


async def pay_on(url: str, payer: Keypair, to: Pubkey, paid: list[Signature], enough: asyncio.Event) -> None:
    """Payments one after the other until the chain is gone; `paid`: those that were acknowledged, `enough` of them 50."""
    async with AsyncClient(url) as client:
        while True:
            latest = (await client.get_latest_blockhash(Processed)).value
            transaction = payment(payer, to, SOL // 1000 + len(paid), latest.blockhash)
            paid.append((await client.send_transaction(transaction, TxOpts(preflight_commitment=Processed))).value)
            if len(paid) == 50:
                enough.set()


async def test_kill_in_the_middle(tmp_path: Path) -> None:
    """Killed while paying: every acknowledged payment is there, in its slot, and no other; a second kill changes nothing."""
    state = tmp_path / "chain"
    devnet = Devnet(state)
    async with AsyncClient(devnet.url) as client:
        payer, to = await rich(client), Keypair().pubkey()
    paid: list[Signature] = []
    enough = asyncio.Event()
    paying = asyncio.create_task(pay_on(devnet.url, payer, to, paid, enough))
    async with asyncio.timeout(20):
        await enough.wait()
    devnet.stop(signal.SIGKILL)
    with pytest.raises((SolanaRpcException, RPCException)):
        await paying
    seen = []
    for _ in range(2):
        again = Devnet(state)
        assert {key: again.line[key] for key in again.line if key != "rpc"} == {
            key: devnet.line[key] for key in devnet.line if key != "rpc"
        }
        config = {"searchTransactionHistory": True}
        names = [str(each) for each in paid[-200:]]
        statuses = again.call("getSignatureStatuses", names, config)["value"]
        assert all(status and status["err"] is None for status in statuses)
        balance = again.call("getBalance", str(to), {"commitment": "processed"})["value"]
        # One more may have landed whose answer was not received.
        sums = [sum(SOL // 1000 + number for number in range(count)) for count in (len(paid), len(paid) + 1)]
        assert balance in sums
        seen.append(([status["slot"] for status in statuses], balance))
        again.stop(signal.SIGKILL)
    assert seen[0] == seen[1]


def start(state: Path) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    command = [sys.executable, "-m", "cli.main", "devnet", "--state-dir", str(state), "--listen", "127.0.0.1:0"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_a_torn_end_is_cut_and_a_changed_middle_refused(devnet: Devnet) -> None:
    """Half a line at the end is gone after the next start; a line changed by another hand is named, and nothing served."""
    owner = str(Keypair().pubkey())
    devnet.call("requestAirdrop", owner, SOL)
    assert devnet.stop() == 0
    ledger = devnet.state / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b'01234567 {"kind":"transaction","slo')
    again = Devnet(devnet.state)
    assert again.call("getBalance", owner, {"commitment": "processed"})["value"] == SOL
    again.call("requestAirdrop", owner, SOL)
    assert again.stop() == 0
    third = Devnet(devnet.state)
    assert third.call("getBalance", owner, {"commitment": "processed"})["value"] == 2 * SOL
    assert third.stop() == 0
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"slot":', b'"slot":1', 1)
    ledger.write_bytes(b"".join(lines))
    done = start(devnet.state)
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 3 of the ledger does not match its checksum" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_process_a_chain(devnet: Devnet) -> None:
    """A second one on the same directory is refused; so is a chain without its faucet's key."""
    done = start(devnet.state)
    assert done.returncode == 1
    assert "in use by another process" in done.stderr
    assert devnet.stop() == 0
    (devnet.state / "faucet.json").unlink()
    done = start(devnet.state)
    assert done.returncode == 1
    assert "faucet" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--listen", "0.0.0.0:0"], "loopback"),
        (["--slot-ms", "0"], "slot_ms"),
        (["--finality-slots", "0"], "finality_slots"),
    ],
)
def test_wrong_settings(tmp_path: Path, options: list[str], says: str) -> None:
    """Status 2, and the setting is named."""
    command = [sys.executable, "-m", "cli.main", "devnet", "--state-dir", str(tmp_path / "x"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_port_that_is_taken(devnet: Devnet, tmp_path: Path) -> None:
    """Status 2, and what would be right."""
    listen = "{}:{}".format(*devnet.address)
    command = [sys.executable, "-m", "cli.main", "devnet", "--state-dir", str(tmp_path / "other"), "--listen", listen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "port 0 picks a free one" in done.stderr


# -- bad clients


def test_requests_that_are_none(devnet: Devnet) -> None:
    """Each gets its answer, and an honest client is served all the while."""
    json_type = {"content-type": "application/json"}
    with httpx.Client(base_url=devnet.url, timeout=10) as http:
        for body, code in (
            (b"{", -32700),
            (b"\xff\xfe", -32700),
            (b"[" * 200_000, -32700),
            (b"[]", -32600),
            (b"null", -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":"getBlock"}', -32601),
            (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[1e9]}', -32602),
        ):
            answer = http.post("/", content=body, headers=json_type)
            assert (answer.status_code, answer.json()["error"]["code"]) == (200, code)
        assert http.post("/", content=b" " * (1024 * 1024 + 1), headers=json_type).status_code == 413
        chunks = (b" " * 65536 for _ in range(20))
        assert http.post("/", content=chunks, headers=json_type).status_code == 413
        assert http.post("/", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
        assert http.get("/").status_code == 405
        assert http.get("/other").status_code == 404
        assert http.get("/health").json() == "ok"
        nothing = http.post("/", content=b'{"jsonrpc":"2.0","method":"getSlot"}', headers=json_type)
        assert (nothing.status_code, nothing.content) == (200, b"")
        batch = [{"jsonrpc": "2.0", "id": number, "method": "getHealth"} for number in range(3)]
        assert [each["id"] for each in devnet.post(batch)] == [0, 1, 2]
    for garbage in (b"\x00" * 5000, b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 500_000, b"POST / HTTP/9.9\r\n\r\n"):
        gone = contextlib.suppress(ConnectionResetError, BrokenPipeError)
        with socket.create_connection(devnet.address, timeout=5) as sock, gone:
            sock.sendall(garbage)
            while sock.recv(65536):
                pass
    assert devnet.call("getHealth") == "ok"


def test_a_request_that_never_ends(devnet: Devnet) -> None:
    """A connection that says nothing, or half a request, is closed after 10 s; others are served meanwhile."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with contextlib.ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection(devnet.address, timeout=15)) for _ in range(3)]
        began = time.monotonic()
        for sock, half in zip(slow, (b"", head, head + b"content-length: 10\r\n\r\n{"), strict=True):
            sock.sendall(half)
        assert devnet.call("getHealth") == "ok"
        for sock in slow:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert 8 < time.monotonic() - began < 14


def test_many_connections(devnet: Devnet) -> None:
    """Of 560 connections 512 are kept and the others closed at once; when they leave there is room again."""
    with contextlib.ExitStack() as opened:
        held = [opened.enter_context(socket.create_connection(devnet.address, timeout=5)) for _ in range(560)]
        for sock in held[512:]:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert select.select(held[:512], [], [], 0) == ([], [], [])
    assert devnet.call("getHealth") == "ok"
