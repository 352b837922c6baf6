"""What the commands that speak to a chain share: the market of a registry, an RPC, a key, and how failures are told."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from solders.pubkey import Pubkey
from solders.signature import Signature

from contracts.accounts import Market, Trade
from contracts.addresses import Address, Place
from contracts.errors import ContractsError
from contracts.instructions import Instructions
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.io.wallet import Wallet, WalletError
from contracts.transactions import Sign
from etp.registry import Registry
from runtime.io.journal import JournalError
from runtime.io.key_file import KeyFileError, load_key
from runtime.io.registry_file import RegistryFileError, load_registry
from runtime.settings import SettingsError

FAILED = 1
WRONG_USE = 2
LAST_ID = 2**64 - 1
DECIMALS = 6
"""Of the settlement currency: 1 is 1,000,000 µ."""

T = TypeVar("T")
RegistryOption = Annotated[
    Path, typer.Option("--registry", envvar="ETP_REGISTRY", help="the market's registry", metavar="FILE")
]
RpcOption = Annotated[
    str, typer.Option("--rpc", envvar="ETP_RPC", help="URL of a Solana RPC of the market's chain", metavar="URL")
]
KeyOption = Annotated[
    Path, typer.Option("--key", envvar="ETP_KEY", help="file with the key that signs", metavar="FILE")
]
DeviceOption = Annotated[int, typer.Option("--device-id", min=0, max=LAST_ID, help="the device")]
BatteryOption = Annotated[int, typer.Option("--battery", min=0, max=LAST_ID, help="device_id of the lot's battery")]
LotOption = Annotated[int, typer.Option("--lot", min=1, max=LAST_ID, help="the lot_id")]
StateDir = Annotated[Path, typer.Option("--state-dir", help="the battery's state directory", metavar="DIR")]


@contextmanager
def told() -> Iterator[None]:
    """Failures as one line on stderr and a status; never a traceback, which could show what is secret."""
    try:
        yield
    except SettingsError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(WRONG_USE) from None
    except (ContractsError, KeyFileError, RegistryFileError, JournalError) as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(FAILED) from None


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signs."""

    address: Address
    sign: Sign

    def __repr__(self) -> str:
        return f"Signatory({self.address})"

    @property
    def pair(self) -> tuple[Address, Sign]:
        """As transactions take it."""
        return self.address, self.sign


def signatory(path: Path) -> Signatory:
    """The key in a file. Raises KeyFileError."""
    key = load_key(path)
    return Signatory(Pubkey(key.public), key.sign)


@dataclass(frozen=True, slots=True)
class Session:
    """A market on its chain."""

    registry: Registry
    wallet: Wallet
    make: Instructions

    @property
    def place(self) -> Place:
        """Where its accounts are."""
        return self.make.place

    async def market(self) -> Market:
        """The market's rules. Raises AccountError and others."""
        return await self.wallet.read(
            self.place.program_id, Market, self.place.market, "open the market first: `etp market open`"
        )

    async def trade(self, battery: int, lot_id: int) -> Trade:
        """A lot's trade. Raises AccountError and others."""
        missing = "is the lot_id right, and has its battery settled it? (`etp settle status` there)"
        return await self.wallet.read(self.place.program_id, Trade, self.place.trade(battery, lot_id), missing)


def place_of(registry: Registry) -> Place:
    """Where a registry's market is. Raises SettingsError where it is on no chain."""
    network = registry.network
    if not network.settles:
        right = "expected a market on a chain: `etp registry init` with --genesis-hash, --program-id and --admin"
        raise SettingsError("registry", network.name, right)
    return Place.of(network)


def with_session(registry: Path, url: str, work: Callable[[Session], Awaitable[T]]) -> T:
    """Do something in a market; failures end the command with one line."""
    with told():
        members = load_registry(registry)
        make = Instructions(load_interface(), place_of(members))

        async def run() -> T:
            rpc = Rpc(url)
            try:
                session = Session(members, Wallet(rpc, make.interface), make)
                await _check_chain(session)
                return await work(session)
            finally:
                await rpc.close()

        return asyncio.run(run())


async def _check_chain(session: Session) -> None:
    genesis = await session.wallet.genesis()
    if genesis != session.place.genesis_hash:
        raise WalletError(
            f"the RPC {session.wallet.rpc.name} is of another chain: its genesis hash is {Pubkey(genesis)}, the registry's"
            f" {Pubkey(session.place.genesis_hash)}; give an RPC of that chain, or the registry of this one"
        )
    if await session.wallet.account(session.place.program_id) is None:
        raise WalletError(
            f"the RPC {session.wallet.rpc.name} has no program at {session.place.program_id}; deploy it there, or give the"
            " registry with the right program_id"
        )


def micro(setting: str, text: str) -> int:
    """µ of an amount in the settlement currency. Raises SettingsError where that is no whole number of µ above 0."""
    right = "expected an amount above 0 with at most 6 decimals, such as 12.50"
    try:
        amount = Decimal(text).scaleb(DECIMALS)
    except InvalidOperation as error:
        raise SettingsError(setting, text, right) from error
    if not amount.is_finite() or amount != amount.to_integral_value() or not 0 < amount <= LAST_ID:
        raise SettingsError(setting, text, right)
    return int(amount)


def money(amount: int) -> str:
    """An amount of µ for people."""
    return f"{amount // 10**DECIMALS}.{amount % 10**DECIMALS:06d}"


def done(what: str, signature: bytes) -> None:
    """Say that it is finalized."""
    typer.echo(f"{what}, finalized: {Signature(signature)}")
