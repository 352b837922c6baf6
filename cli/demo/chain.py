"""The chain of a demo: its own local one, or a real cluster; a market opened on it, everybody registered and funded.

One path for both: the payer makes a test token of its own, so what runs on the local chain runs on any cluster.
"""

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from solana.rpc.commitment import Finalized
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import (
    InitializeMintParams,
    MintToParams,
    create_idempotent_associated_token_account,
    initialize_mint,
    mint_to,
)

from bess_node.settings import BessSettings
from cli.demo.processes import Daemon, NodeError, launch, ready, stop
from cli.demo.settings import DemoSettings
from contracts.accounts import Escrow, Participant, ParticipantRole, Trade, read
from contracts.addresses import PROGRAM_ID, Address, Place, token_account
from contracts.errors import ContractsError
from contracts.instructions import Instructions, Terms
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.io.wallet import Wallet
from contracts.reconcile import request, trades_in
from contracts.rpc import Account, Accounts, GetAccounts, TradeAccounts
from contracts.transactions import Sign
from etp.codes import Role
from etp.keys import KeyPair
from etp.registry import Member, Network, Registry
from etp.units import DeviceId, Micro
from runtime.io.key_file import load_key, make_key
from runtime.io.registry_file import save_registry
from runtime.settings import NodeSettings

MARKET: Final = "etp-demo"
SLOT_MS, FINALITY_SLOTS = 40, 4
"""Of the local chain: final after 160 ms."""
DAY_S: Final = 86_400
FEE_BPS: Final = 10
TERMS: Final = {
    "fee_bps": FEE_BPS,
    "min_amount": 1,
    "dispute_window": 0,
    "settle_window": DAY_S,
    "withdraw_delay": 2 * DAY_S,
}
"""Of the demo's market: 0.1 % for the market, paid at once (a real market has a dispute window)."""
DECIMALS: Final = 6
ESCROW: Final = Micro(2_000_000_000)
"""What each aggregator puts aside: 2,000 test USDC."""
MINT_SIZE: Final = 82
MINT_RENT: Final = 1_461_600
"""Lamports that keep a mint (82 bytes) on the chain: (82 + 128) × 6,960."""
TRADE_COST: Final = 3_000_000
"""Lamports that a settlement takes at most: the rent of its Trade account, which comes back, and fees."""
BATTERY_LAMPORTS: Final = 20_000_000
BUYER_LAMPORTS: Final = 20_000_000
PAYER_LAMPORTS: Final = 1_000_000_000_000
AT_ONCE: Final = 3
"""Registrations in one transaction: a signature and two accounts each, within 1,232 bytes."""
AMOUNT_AT: Final = slice(64, 72)
"""Of an SPL token account: its amount, u64 little-endian (spl-token, state.rs)."""


T = TypeVar("T", Participant, Escrow)


class Paid(NamedTuple):
    """What the chain says of one battery, µ."""

    earned: Micro
    """The balance of its token account: it was 0 at the beginning."""
    settled: int
    """Trades, by its participant's counter."""


class Ledger(NamedTuple):
    """What the chain says at the end."""

    batteries: Mapping[int, Paid]
    escrows: Mapping[int, Escrow]
    vaults: Mapping[int, Micro]
    """By buyer: what the token account of its escrow holds."""
    trades: Sequence[Trade]
    """Of these batteries."""
    fees: Micro
    disputed: int
    defaulted: int


@dataclass(eq=False)
class Chain:
    """A chain with a market on it."""

    rpc: Rpc
    url: str
    wallet: Wallet
    make: Instructions
    token: KeyPair
    """The key of the test token's mint."""
    payer: KeyPair
    keys: Mapping[int, KeyPair]
    registry: Path
    daemon: Daemon | None
    """The local chain's process; None: a cluster of somebody else's."""

    @property
    def mint(self) -> Address:
        """Of the test token."""
        return _address(self.token)

    def told(self, settings: NodeSettings, directory: Path) -> NodeSettings:
        """A node's settings with its key, its market and its chain."""
        key = key_file(directory, _role(settings), settings.device_id)
        return settings.model_copy(update={"registry": self.registry, "key": key, "rpc": [self.url]})

    async def ledger(self, batteries: Sequence[int], buyers: Sequence[int]) -> Ledger:
        """What stands on the chain, all finalized, once nobody settles any more. Raises ContractsError."""
        place = self.make.place
        payouts = [token_account(_address(self.keys[battery]), self.mint) for battery in batteries]
        known = [place.participant(device) for device in (*batteries, *buyers)]
        escrows = [place.escrow(buyer) for buyer in buyers]
        vaults = [token_account(escrow, self.mint) for escrow in escrows]
        fee = token_account(_address(self.payer), self.mint)
        wanted = [*payouts, *known, *escrows, *vaults, fee]
        trades, found = await self._trades(batteries), await self._accounts(wanted)
        while (again := await self._trades(batteries)) != trades:  # what was sent last has become final meanwhile
            trades, found = again, await self._accounts(wanted)
        shown = dict(zip(wanted, found, strict=True))
        people = [self._read(Participant, shown[address]) for address in known]
        earned = [_amount(shown[payout]) for payout in payouts]
        return Ledger(
            batteries={
                battery: Paid(amount, person.settled)
                for battery, amount, person in zip(batteries, earned, people[: len(batteries)], strict=True)
            },
            escrows={buyer: self._read(Escrow, shown[address]) for buyer, address in zip(buyers, escrows, strict=True)},
            vaults={buyer: _amount(shown[address]) for buyer, address in zip(buyers, vaults, strict=True)},
            trades=trades,
            fees=_amount(shown[fee]),
            disputed=sum(person.disputed for person in people[: len(batteries)]),
            defaulted=sum(person.defaulted for person in people[len(batteries) :]),
        )

    async def _trades(self, batteries: Sequence[int]) -> list[Trade]:
        place, interface = self.make.place, self.make.interface
        found: list[Trade] = []
        for battery in batteries:
            answer = await self.wallet.ask(request(interface, place.program_id, place.market, battery))
            assert isinstance(answer, TradeAccounts)
            found += trades_in(interface, answer)
        return found

    async def _accounts(self, addresses: list[Address]) -> list[Account | None]:
        found: list[Account | None] = []
        for first in range(0, len(addresses), 100):
            answer = await self.wallet.ask(GetAccounts(tuple(addresses[first : first + 100])))
            assert isinstance(answer, Accounts)
            found += answer.found
        return found

    def _read(self, kind: type[T], account: Account | None) -> T:
        if account is None:
            raise ContractsError(f"a {kind.__name__} account of the demo's market is not on the chain any more")
        return read(self.make.interface, self.make.place.program_id, kind, account)

    async def close(self) -> None:
        """Let go of the RPC."""
        await self.rpc.close()


def key_file(directory: Path, role: Role, device_id: int) -> Path:
    """Where a node's key is: in its state directory."""
    return directory / f"{role.value}-{device_id}" / "key.json"


def _role(settings: NodeSettings) -> Role:
    return Role.BESS if isinstance(settings, BessSettings) else Role.AGGREGATOR


def _address(pair: KeyPair) -> Address:
    return Pubkey(pair.public)


def _amount(account: Account | None) -> Micro:
    return Micro(0 if account is None else int.from_bytes(account.data[AMOUNT_AT], "little"))


async def reach_chain(settings: DemoSettings, nodes: Sequence[NodeSettings], directory: Path) -> Chain:
    """The chain, and the registry of a market that is still to be opened on it.

    Raises NodeError where the local chain does not start, ContractsError.
    """
    payer = load_key(settings.payer) if settings.payer else make_key(directory / "payer.json")
    if settings.rpc is not None:
        return await _reached(settings, nodes, directory, url=settings.rpc, payer=payer, daemon=None)
    daemon = await _local(directory)
    try:
        return await _reached(settings, nodes, directory, url=str(daemon.line["rpc"]), payer=payer, daemon=daemon)
    except BaseException:
        await stop([daemon])
        raise


async def open_market(chain: Chain, trades: int, nodes: Sequence[NodeSettings]) -> None:
    """The market, open, with everybody in it; each battery can pay for so many settlements. Raises ContractsError."""
    if chain.daemon is not None:
        payer = _address(chain.payer)
        given = await chain.rpc.client.request_airdrop(payer, PAYER_LAMPORTS)
        await chain.rpc.client.confirm_transaction(given.value, Finalized, sleep_seconds=SLOT_MS / 1000)
    await _Opening(chain, nodes, trades).run()


async def _reached(
    settings: DemoSettings,
    nodes: Sequence[NodeSettings],
    directory: Path,
    *,
    url: str,
    payer: KeyPair,
    daemon: Daemon | None,
) -> Chain:
    rpc, interface = Rpc(url), load_interface()
    wallet = Wallet(rpc, interface)
    program = Pubkey.from_string(settings.program_id) if settings.program_id else PROGRAM_ID
    genesis = await wallet.genesis()
    network = Network(MARKET, genesis, bytes(program), payer.public)
    keys = {node.device_id: make_key(key_file(directory, _role(node), node.device_id)) for node in nodes}
    registry = directory / "registry.toml"
    members = (Member(DeviceId(node.device_id), _role(node), keys[node.device_id].public) for node in nodes)
    save_registry(registry, Registry(network, members))
    mint = KeyPair(os.urandom(32))
    make = Instructions(interface, Place.of(network))
    return Chain(rpc, url, wallet, make, mint, payer, keys, registry, daemon)


async def _local(directory: Path) -> Daemon:
    """Start `etp devnet` and wait until it serves."""
    words = ["--listen", "127.0.0.1:0", "--slot-ms", str(SLOT_MS), "--finality-slots", str(FINALITY_SLOTS)]
    daemon = await launch("devnet", "devnet", words, directory)
    try:
        await ready(daemon)
    except NodeError:
        await stop([daemon])
        raise
    return daemon


class _Opening:
    """Opens a market: each step is finalized before the next one needs it."""

    def __init__(self, chain: Chain, nodes: Sequence[NodeSettings], trades: int) -> None:
        self._chain, self._nodes, self._trades = chain, nodes, trades
        self._payer = _address(chain.payer)
        self._buyers = [node for node in nodes if _role(node) is Role.AGGREGATOR]

    async def run(self) -> None:
        """Token, market, participants, escrows."""
        await asyncio.gather(self._make_token(), *self._fund())
        await self._open_market()
        await asyncio.gather(*self._register())
        await asyncio.gather(*(self._deposit(node.device_id) for node in self._buyers))

    async def _submit(self, instructions: Sequence[Instruction], *others: KeyPair) -> None:
        signers: list[tuple[Address, Sign]] = [(_address(pair), pair.sign) for pair in (self._chain.payer, *others)]
        await self._chain.wallet.submit(instructions, signers)

    async def _make_token(self) -> None:
        mint, payer = self._chain.mint, self._payer
        made = CreateAccountParams(
            from_pubkey=payer, to_pubkey=mint, lamports=MINT_RENT, space=MINT_SIZE, owner=TOKEN_PROGRAM_ID
        )
        rules = InitializeMintParams(
            decimals=DECIMALS, program_id=TOKEN_PROGRAM_ID, mint=mint, mint_authority=payer, freeze_authority=None
        )
        fee = create_idempotent_associated_token_account(payer, payer, mint)
        await self._submit([create_account(made), initialize_mint(rules), fee], self._chain.token)

    def _fund(self) -> list[Coroutine[None, None, None]]:
        """SOL for everybody who signs transactions: batteries pay for settlements, buyers for their escrow."""
        gifts = [
            transfer(
                TransferParams(
                    from_pubkey=self._payer,
                    to_pubkey=_address(self._chain.keys[node.device_id]),
                    lamports=BUYER_LAMPORTS if node in self._buyers else BATTERY_LAMPORTS + TRADE_COST * self._trades,
                )
            )
            for node in self._nodes
        ]
        return [self._submit(gifts[first : first + 10]) for first in range(0, len(gifts), 10)]

    async def _open_market(self) -> None:
        mint, fee_account = self._chain.mint, token_account(self._payer, self._chain.mint)
        terms = Terms(arbiter=self._payer, **TERMS)
        await self._submit([self._chain.make.open_market(self._payer, MARKET, mint, fee_account, terms)])

    def _register(self) -> list[Coroutine[None, None, None]]:
        parts = [self._nodes[first : first + AT_ONCE] for first in range(0, len(self._nodes), AT_ONCE)]
        return [self._register_some(part) for part in parts]

    async def _register_some(self, nodes: Sequence[NodeSettings]) -> None:
        roles = {Role.BESS: ParticipantRole.BATTERY, Role.AGGREGATOR: ParticipantRole.AGGREGATOR}
        pairs = [self._chain.keys[node.device_id] for node in nodes]
        register = self._chain.make.register
        made = [
            register(self._payer, _address(pair), node.device_id, roles[_role(node)])
            for node, pair in zip(nodes, pairs, strict=True)
        ]
        await self._submit(made, *pairs)

    async def _deposit(self, device_id: int) -> None:
        pair, mint, make = self._chain.keys[device_id], self._chain.mint, self._chain.make
        owner = _address(pair)
        purse = token_account(owner, mint)
        minted = MintToParams(
            program_id=TOKEN_PROGRAM_ID, mint=mint, dest=purse, mint_authority=self._payer, amount=ESCROW
        )
        steps = [
            create_idempotent_associated_token_account(self._payer, owner, mint),
            mint_to(minted),
            make.create_vault(self._payer, device_id, mint),
            make.deposit(owner, device_id, mint, purse, ESCROW),
        ]
        await self._submit(steps, pair)
