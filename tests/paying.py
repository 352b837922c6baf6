"""A market on a chain of its own as its users make it: processes, commands and files; and what chain and journals say of it."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from typer.testing import CliRunner

from cli.chain import place_of
from cli.main import app
from contracts.accounts import Escrow, Participant, Trade, TradeStatus, decode
from contracts.addresses import Address, Place, token_account
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.outbox import KIND, Entry, OutboxState, entry_of
from contracts.reconcile import request, trades_in
from contracts.rpc import Account, Accounts, Answer, GetAccounts, Request, RpcFailure, TradeAccounts
from etp.effects import Row
from etp.keys import KeyPair
from etp.registry import Registry
from runtime.io.journal_reader import JournalReader
from runtime.io.key_file import load_key
from runtime.io.registry_file import load_registry

ROOT = Path(__file__).resolve().parents[1]
SLOT_MS, FINALITY_SLOTS = 40, 4
SOL = 10**9
INTERFACE = load_interface()
T = TypeVar("T", Participant, Escrow, Trade)
AMOUNT_AT = slice(64, 72)
"""Of an SPL token account: its amount, u64 little-endian (spl-token, state.rs)."""
AHEAD = """
import os, time
_ahead_ns, _time_ns = int(os.environ["ETP_TEST_AHEAD_S"]) * 10**9, time.time_ns
time.time_ns = lambda: _time_ns() + _ahead_ns
time.time = lambda: time.time_ns() / 1e9
"""
"""What sets a process's wall clock ahead, as sitecustomize."""


def until(condition: Callable[[], object], seconds: float = 30.0, what: str = "it") -> None:
    """Wait for what another process writes."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def group() -> str:
    """A multicast group of a test's own."""
    return f"239.192.77.77:{random.SystemRandom().randint(20_000, 32_000)}"


def environment(directory: Path, ahead_s: int = 0) -> dict[str, str]:
    """Of a process: no ETP_ variable of ours, and a clock that may be ahead."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("ETP_")}
    if not ahead_s:
        return found
    ahead = directory / "ahead"
    ahead.mkdir(exist_ok=True)
    (ahead / "sitecustomize.py").write_text(AHEAD)
    return found | {"ETP_TEST_AHEAD_S": str(ahead_s), "PYTHONPATH": f"{ahead}{os.pathsep}{ROOT}"}


class Process:
    """A daemon of `etp`: its ready line; its log is DIRECTORY/NAME.log."""

    def __init__(self, directory: Path, name: str, words: Iterable[str], *, ahead_s: int = 0) -> None:
        self.log_path = directory / f"{name}.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *words],
                cwd=ROOT,
                env=environment(directory, ahead_s),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @cached_property
    def line(self) -> dict[str, Any]:
        """Its ready line; waits for it, so that several can start at a time."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said, self.log[-2000:]
        found: dict[str, Any] = json.loads(said)
        return found

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it, once it serves; its status."""
        if self.line and self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(20)

    def wait(self, seconds: float) -> int:
        """Wait until it ends by itself, after it has served; its status."""
        assert self.line
        return self._over(seconds)

    def kill(self) -> None:
        """SIGKILL, whether it serves or not."""
        self.process.kill()
        self._over(10)

    def _over(self, seconds: float) -> int:
        status = self.process.wait(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


class Devnet:
    """`etp devnet` at one port and in one directory, however often it is killed and started."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._listen = directory, f"127.0.0.1:{free_port()}"
        self.running = self._start(0)
        line = self.running.line
        self.url, self.mint, self.genesis_hash, self.program_id = (
            str(line[name]) for name in ("rpc", "mint", "genesis_hash", "program_id")
        )

    def _start(self, ahead_s: int) -> Process:
        state = ["--state-dir", str(self._directory / "chain"), "--listen", self._listen]
        pace = ["--slot-ms", str(SLOT_MS), "--finality-slots", str(FINALITY_SLOTS)]
        return Process(self._directory, "devnet", ["devnet", *state, *pace], ahead_s=ahead_s)

    def again(self, number: int = signal.SIGKILL, *, ahead_s: int = 0) -> None:
        """End it with a signal and start it again."""
        self.running.end(number)
        self.running = self._start(ahead_s)
        assert self.running.line

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call by hand, as with curl."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = httpx.post(self.url, json=body, timeout=10).json()
        assert "error" not in answer, answer
        return answer["result"]

    def fund(self, public: bytes, *, sol: int = 10, micro: int = 0) -> None:
        """SOL and test USDC from the faucet, finalized."""
        owner, given = str(Pubkey(public)), []
        if sol:
            given.append(self.call("requestAirdrop", owner, sol * SOL))
        if micro:
            given.append(self.call("etp_faucet", owner, micro))

        def final() -> bool:
            found = self.call("getSignatureStatuses", given)["value"]
            return all(each is not None and each["confirmationStatus"] == "finalized" for each in found)

        until(final, what="the faucet's gift")

    def ask(self, question: Request) -> Answer:
        """An answer, read by our own client."""

        async def work() -> Answer | RpcFailure:
            rpc = Rpc(self.url)
            try:
                return await rpc.ask(question)
            finally:
                await rpc.close()

        answer = asyncio.run(work())
        assert not isinstance(answer, RpcFailure), answer
        return answer

    def account(self, address: Address) -> Account | None:
        """A finalized account."""
        answer = self.ask(GetAccounts((address,)))
        assert isinstance(answer, Accounts)
        return answer.found[0]


class Door:
    """A way to an RPC that can be shut: what stands at its URL is the RPC, or nothing."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._to, self._port = (host, int(port)), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: socket.socket | None = None
        self._open: list[socket.socket] = []

    def open(self) -> None:
        """From now on it leads there."""
        server = self._server = socket.create_server(("127.0.0.1", self._port))
        Thread(target=self._serve, args=(server,), daemon=True).start()

    def shut(self) -> None:
        """Nobody listens any more, and what is connected is cut."""
        if self._server is not None:
            for one in (self._server, *self._open):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        self._server, self._open = None, []

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to)
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                Thread(target=self._pass, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class World:
    """A market: its registry, its members' keys, its daemons, and all that its commands have said."""

    def __init__(self, directory: Path, chain: Devnet, *, name: str = "street") -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.chain, self.name = directory, chain, name
        self.registry = directory / "registry.toml"
        self.started: list[Process] = []
        self.said: list[str] = []
        self.deposited: Counter[int] = Counter()
        self._names: dict[int, str] = {}
        self._ports: dict[int, int] = {}
        self._nodes: dict[int, Node] = {}

    # -- commands

    @property
    def _env(self) -> dict[str, str]:
        return {"ETP_REGISTRY": str(self.registry), "ETP_RPC": self.chain.url, "COLUMNS": "200"}

    def etp(self, *arguments: str, status: int = 0, stdin: str = "", ahead_s: int = 0) -> str:
        """Run a command as a user does; what it prints."""
        ran = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=90,
            env=environment(self.directory, ahead_s) | self._env,
            check=False,
        )
        return self._told(arguments, ran.stdout + ran.stderr, ran.returncode, status)

    def do(self, *arguments: str, status: int = 0) -> str:
        """The same command in this process: a second less."""
        ran = CliRunner().invoke(app, list(arguments), env=self._env)
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return self._told(arguments, ran.output, ran.exit_code, status)

    def _told(self, arguments: tuple[str, ...], said: str, found: int, status: int) -> str:
        self.said.append(said)
        assert found == status, (arguments, found, said)
        assert "Traceback" not in said, (arguments, said)
        return said

    # -- the market and its members

    def key_file(self, name: str) -> str:
        """Where a key is."""
        return str(self.directory / f"{name}.json")

    def key(self, name: str) -> KeyPair:
        """A member's key."""
        return load_key(Path(self.key_file(name)))

    def open(self, *rules: str) -> None:
        """Keys, registry and market."""
        self.do("keygen", self.key_file("admin"))
        admin = self.key("admin").public
        self.chain.fund(admin)
        place = ("--genesis-hash", self.chain.genesis_hash, "--program-id", self.chain.program_id)
        self.do("registry", "init", "--name", self.name, *place, "--admin", str(Pubkey(admin)))
        self.do("market", "open", *self.by("admin"), "--mint", self.chain.mint, *rules)

    def by(self, name: str) -> list[str]:
        """The option that lets somebody sign."""
        return ["--key", self.key_file(name)]

    def join(self, device_id: int, role: str, *, sol: int = 10, deposit: str = "") -> str:
        """A new device: key, registry, SOL, the chain; and, with a deposit, test USDC into an escrow. Returns its name."""
        name = self._names[device_id] = f"{role}-{device_id}"
        self.do("keygen", self.key_file(name))
        device = ["--device-id", str(device_id)]
        self.do("registry", "add", *device, "--role", role, "--key", self.key_file(name))
        if sol:
            self.chain.fund(self.key(name).public, sol=sol)
        self.do("market", "register", *self.by("admin"), *device, "--device-key", self.key_file(name))
        if deposit:
            self.deposit(device_id, deposit)
        return name

    def deposit(self, device_id: int, amount: str) -> None:
        """From the faucet into a buyer's escrow."""
        micro = round(float(amount) * 1_000_000)
        name = self._names[device_id]
        self.chain.fund(self.key(name).public, sol=0, micro=micro)
        assert "finalized" in self.do("escrow", "deposit", *self.by(name), "--device-id", str(device_id), amount)
        self.deposited[device_id] += micro

    @property
    def members(self) -> Registry:
        """The registry of now."""
        return load_registry(self.registry)

    @property
    def place(self) -> Place:
        """Where the market is on the chain."""
        return place_of(self.members)

    def name_of(self, device_id: int) -> str:
        """A device's name: its role and its id."""
        return self._names[device_id]

    # -- daemons

    def state(self, device_id: int) -> Path:
        """A node's state directory."""
        return self.directory / f"state-{self._names[device_id]}"

    def node(self, device_id: int, *options: str, rpc: Iterable[str] | None = None, ahead_s: int = 0) -> "Node":
        """Start a node on the journal that it has."""
        made = Node(self, device_id, options, rpc=rpc, ahead_s=ahead_s)
        self.started.append(made)
        self._nodes[device_id] = made
        return made

    def battery(self, device_id: int, *options: str, rpc: Iterable[str] | None = None, ahead_s: int = 0) -> "Node":
        """`etp bess` that sells lots of 123 Wh, one after the other; at the same address each time."""
        self._ports.setdefault(device_id, free_port())
        lots = ["--capacity-kwh", "1000", "--discharge-kw", "5", "--horizon-h", "0.0246", "--closing-ms", "30"]
        lots += ["--listen", self.address(device_id)]
        return self.node(device_id, *lots, *options, rpc=rpc, ahead_s=ahead_s)

    def address(self, device_id: int) -> str:
        """HOST:PORT of a battery that was started."""
        return f"127.0.0.1:{self._ports[device_id]}"

    def buyer(
        self, device_id: int, *batteries: int, options: Iterable[str], rpc: Iterable[str] | None = None
    ) -> "Node":
        """`etp aggregator` that dials these batteries."""
        peers = [word for battery in batteries for word in ("--peer", f"{battery}@{self.address(battery)}")]
        return self.node(device_id, *peers, *options, rpc=rpc)

    def end(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.process.poll() is None:
                process.kill()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End the daemons of a test with it."""
        try:
            yield
        finally:
            self.end()

    # -- what is on file

    def _journal(self, device_id: int) -> JournalReader:
        node = self._nodes.get(device_id)
        assert node is None or node.line  # who serves has a journal
        return JournalReader(self.state(device_id))

    def rows(self, device_id: int) -> list[Row]:
        """A node's journal."""
        with closing(self._journal(device_id)) as reader:
            return [row for _, row in reader.rows()]

    def of_kind(self, device_id: int, kind: str) -> list[Row]:
        """Its rows of one kind."""
        return [row for row in self.rows(device_id) if row.kind == kind]

    def bids(self, device_id: int) -> list[str]:
        """What became of the bids at a battery, in order."""
        with closing(self._journal(device_id)) as reader:
            return [row.state for row in reader.bids()]

    def trades(self, device_id: int) -> dict[int, int]:
        """A node's trades: lot → µ. Each lot once."""
        rows = self.of_kind(device_id, "trade")
        found = {int(row.lot_id): int(str(row.body["paid_micro"])) for row in rows}
        assert len(found) == len(rows), "a lot was sold twice"
        return found

    def outbox(self, device_id: int) -> dict[int, Entry]:
        """A battery's settlements: the newest entry of each lot."""
        return {int(row.lot_id): entry_of(row) for row in self.of_kind(device_id, KIND)}

    def states(self, device_id: int) -> Counter[OutboxState]:
        """Its settlements by state."""
        return Counter(entry.state for entry in self.outbox(device_id).values())

    def all_settled(self, device_id: int) -> bool:
        """Whether every trade of a battery is paid."""
        return set(self.states(device_id)) == {OutboxState.SETTLED}

    def export(self, device_id: int) -> list[dict[str, Any]]:
        """`etp export`."""
        return [json.loads(line) for line in self.do("export", "--state-dir", str(self.state(device_id))).splitlines()]

    # -- what is on the chain

    def read(self, kind: type[T], address: Address) -> T | None:
        """A finalized account of the program."""
        found = self.chain.account(address)
        return None if found is None else decode(INTERFACE, kind, found.data)

    def escrow(self, device_id: int) -> Escrow:
        """A buyer's escrow."""
        found = self.read(Escrow, self.place.escrow(device_id))
        assert found is not None
        return found

    def participant(self, device_id: int) -> Participant:
        """A device on the chain."""
        found = self.read(Participant, self.place.participant(device_id))
        assert found is not None
        return found

    def trade(self, battery: int, lot_id: int) -> Trade | None:
        """A lot's trade."""
        return self.read(Trade, self.place.trade(battery, lot_id))

    def trades_on_chain(self, battery: int) -> dict[int, Trade]:
        """All trades of a battery."""
        answer = self.chain.ask(request(INTERFACE, self.place.program_id, self.place.market, battery))
        assert isinstance(answer, TradeAccounts)
        found = trades_in(INTERFACE, answer)
        assert len(found) == len(answer.found)
        return {trade.lot_id: trade for trade in found}

    def tokens(self, owner: bytes | Address) -> int:
        """µ of the settlement currency that somebody holds."""
        address = owner if isinstance(owner, Pubkey) else Pubkey(owner)
        found = self.chain.account(token_account(address, Pubkey.from_string(self.chain.mint)))
        return 0 if found is None else int.from_bytes(found.data[AMOUNT_AT], "little")

    def check_paid(self, battery: int, buyers: Iterable[int], *, fee_bps: int) -> int:
        """Every trade of the battery was paid exactly once, to the µ; returns how many there are."""
        sold, on_chain = self.trades(battery), self.trades_on_chain(battery)
        bought = [self.trades(buyer) for buyer in buyers]
        assert sorted(lot for each in bought for lot in each) == sorted(sold)
        assert {lot: micro for each in bought for lot, micro in each.items()} == sold
        rows = Counter(row.lot_id for row in self.of_kind(battery, KIND) if row.state == OutboxState.SETTLED.value)
        assert rows == Counter(sold.keys())
        assert {lot: (trade.status, trade.amount, trade.fee) for lot, trade in on_chain.items()} == {
            lot: (TradeStatus.PAID, micro, micro * fee_bps // 10_000) for lot, micro in sold.items()
        }
        fees = sum(trade.fee for trade in on_chain.values())
        assert self.tokens(self.key(self._names[battery]).public) == sum(sold.values()) - fees
        assert self.participant(battery).settled == len(sold)
        return len(sold)

    def check_escrow(self, buyer: int) -> None:
        """What has left a buyer's escrow is what its journal says that it bought, all paid."""
        escrow, spent = self.escrow(buyer), sum(self.trades(buyer).values())
        assert (escrow.available, escrow.held) == (self.deposited[buyer] - spent, 0)
        assert self.tokens(self.place.escrow(buyer)) == escrow.available
        assert self.participant(buyer).settled == len(self.trades(buyer))


class Node(Process):
    """A battery or an aggregator."""

    def __init__(
        self, world: World, device_id: int, options: Iterable[str], *, rpc: Iterable[str] | None, ahead_s: int
    ) -> None:
        self.world, self.device_id = world, device_id
        name = world.name_of(device_id)
        role = name.partition("-")[0]
        urls = [world.chain.url] if rpc is None else list(rpc)
        self.state = world.state(device_id)
        words = [
            *(role, "--device-id", str(device_id), "--profile", "signed", "--key", world.key_file(name)),
            *("--registry", str(world.registry), "--state-dir", str(self.state), "--metrics-ms", "50"),
            *(word for url in urls for word in ("--rpc", url)),
            *options,
        ]
        if "--group" not in words:
            words += ["--group", group()]
        super().__init__(world.directory, name, words, ahead_s=ahead_s)

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json as of now; empty while there is none."""
        path = self.state / "metrics.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    @property
    def view(self) -> dict[str, Any]:
        """What its node says there of itself."""
        found: dict[str, Any] = self.metrics.get("node", {})
        return found

    @property
    def settlement(self) -> dict[str, Any]:
        """What a battery says there of its settlements."""
        found: dict[str, Any] = self.view.get("settlement", {})
        return found

    def count(self, name: str) -> dict[str, int]:
        """A counter by label."""
        found: dict[str, int] = self.metrics.get("counters", {}).get(name, {})
        return found


def forms(key: KeyPair, seed: bytes) -> dict[str, bytes]:
    """How a key could be written."""
    pair = seed + key.public
    texts = {
        "hex": seed.hex(),
        "base58": str(Keypair.from_seed(seed)),
        "base64": b64encode(seed).decode(),
        "list": ", ".join(map(str, seed)),
        "json": ",".join(map(str, seed)),
        "repr": repr(seed)[2:-1],
        "pair": pair.hex(),
    }
    return {name: text.encode() for name, text in texts.items()} | {"raw": seed}


def secrets(directory: Path) -> tuple[int, list[str]]:
    """How many files below a directory were searched for the keys that are below it, and where one was found."""
    kept = [path for path in directory.rglob("*.json") if path.is_file() and path.stat().st_mode & 0o777 == 0o600]
    found: list[str] = []
    searched = [path for path in directory.rglob("*") if path.is_file() and path not in kept]
    bodies = {path: path.read_bytes() for path in searched}
    for path in kept:
        seed = bytes(json.loads(path.read_text())[:32])
        for form, text in forms(KeyPair(seed), seed).items():
            found += [f"{path.name} as {form} in {where}" for where, body in bodies.items() if text in body]
    return len(searched), found
