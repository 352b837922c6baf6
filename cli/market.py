"""`etp market`: open a market on the chain, change its rules, let devices in and out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from spl.token.instructions import create_idempotent_associated_token_account

from cli.chain import (
    DeviceOption,
    KeyOption,
    RegistryOption,
    RpcOption,
    Session,
    Signatory,
    done,
    micro,
    signatory,
    with_session,
)
from contracts.accounts import Market, ParticipantRole
from contracts.addresses import Address, parse_address, token_account
from contracts.instructions import Terms
from contracts.io.wallet import WalletError
from etp.codes import Role
from runtime.settings import SettingsError

DAY_S = 86_400
ROLES = {Role.BESS: ParticipantRole.BATTERY, Role.AGGREGATOR: ParticipantRole.AGGREGATOR}

app = typer.Typer(no_args_is_help=True)

Arbiter = Annotated[str | None, typer.Option("--arbiter", help="address of who decides disputes; default: the admin")]
FeeBps = Annotated[int | None, typer.Option("--fee-bps", min=0, max=100, help="market's fee, 1/100 % (default 0)")]
MinAmount = Annotated[str | None, typer.Option("--min-amount", help="least payment (default 0.000001)")]
DisputeS = Annotated[
    int | None,
    typer.Option("--dispute-window-s", min=0, help="money is held so long, s (default 86400); 0 is for demos only"),
]
SettleDays = Annotated[
    int | None, typer.Option("--settle-days", min=1, max=30, help="a trade settles so long (default 7)")
]
WithdrawDays = Annotated[
    int | None, typer.Option("--withdraw-days", min=2, help="default: the settle window and one day")
]


@dataclass(frozen=True, slots=True)
class Given:
    """Rules as they were given; None: as they are, or the default."""

    arbiter: str | None
    fee_bps: int | None
    min_amount: str | None
    dispute_window_s: int | None
    settle_window_days: int | None
    withdraw_delay_days: int | None

    def terms(self, admin: Address, old: Market | None) -> Terms:
        """The rules to be. Raises SettingsError, AddressError."""
        settle = _chosen(self.settle_window_days, DAY_S, old.settle_window if old else 7 * DAY_S)
        least = settle + DAY_S
        withdraw = _chosen(self.withdraw_delay_days, DAY_S, max(least, old.withdraw_delay if old else 0))
        if withdraw < least:
            right = f"expected at least {least // DAY_S} days: the settle window and one day"
            raise SettingsError("withdraw-days", self.withdraw_delay_days, right)
        return Terms(
            arbiter=parse_address("--arbiter", self.arbiter) if self.arbiter else old.arbiter if old else admin,
            fee_bps=_chosen(self.fee_bps, 1, old.fee_bps if old else 0),
            min_amount=micro("min-amount", self.min_amount) if self.min_amount else old.min_amount if old else 1,
            dispute_window=_chosen(self.dispute_window_s, 1, old.dispute_window if old else DAY_S),
            settle_window=settle,
            withdraw_delay=withdraw,
        )


def _chosen(given: int | None, factor: int, otherwise: int) -> int:
    return otherwise if given is None else given * factor


def _admin(session: Session, key: Path) -> Signatory:
    admin = signatory(key)
    wanted = session.registry.network.admin
    if bytes(admin.address) != wanted:
        raise WalletError(
            f"{key} is not the key of this market's admin: it is {admin.address}; see the registry's admin"
        )
    return admin


@app.command("open")
def open_market(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    *,
    mint: Annotated[str, typer.Option("--mint", help="address of the settlement currency's mint, such as USDC's")],
    arbiter: Arbiter = None,
    fee_bps: FeeBps = None,
    min_amount: MinAmount = None,
    dispute_window_s: DisputeS = None,
    settle_window_days: SettleDays = None,
    withdraw_delay_days: WithdrawDays = None,
) -> None:
    """Open the registry's market. Its name, admin, program and chain are for ever; the rest can be changed."""
    given = Given(arbiter, fee_bps, min_amount, dispute_window_s, settle_window_days, withdraw_delay_days)

    async def work(session: Session) -> bytes:
        admin, currency = _admin(session, key), parse_address("--mint", mint)
        fees = create_idempotent_associated_token_account(admin.address, admin.address, currency)
        opened = session.make.open_market(
            admin.address,
            session.registry.network.name,
            currency,
            token_account(admin.address, currency),
            given.terms(admin.address, None),
        )
        return await session.wallet.submit([fees, opened], [admin.pair])

    done("market opened", with_session(registry, rpc, work))


@app.command("set")
def set_market(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    *,
    arbiter: Arbiter = None,
    fee_bps: FeeBps = None,
    min_amount: MinAmount = None,
    dispute_window_s: DisputeS = None,
    settle_window_days: SettleDays = None,
    withdraw_delay_days: WithdrawDays = None,
    paused: Annotated[bool | None, typer.Option("--pause/--resume", help="stop, or allow, new trades")] = None,
) -> None:
    """Change what is given; the rest stays."""
    given = Given(arbiter, fee_bps, min_amount, dispute_window_s, settle_window_days, withdraw_delay_days)

    async def work(session: Session) -> bytes:
        admin, old = _admin(session, key), await session.market()
        stop = bool(old.paused_at) if paused is None else paused
        changed = session.make.set_market(admin.address, old.fee_account, given.terms(admin.address, old), paused=stop)
        return await session.wallet.submit([changed], [admin.pair])

    done("market changed", with_session(registry, rpc, work))


@app.command()
def show(registry: RegistryOption, rpc: RpcOption) -> None:
    """Print the market's rules as one JSON object."""

    async def work(session: Session) -> Market:
        return await session.market()

    market = with_session(registry, rpc, work)
    fields = {name: _plain(value) for name, value in market._asdict().items()}
    typer.echo(json.dumps(fields))


def _plain(value: object) -> object:
    return value if isinstance(value, int) else value.hex() if isinstance(value, bytes) else str(value)


@app.command()
def register(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    device_id: DeviceOption,
    device_key: Annotated[Path, typer.Option("--device-key", help="file with the device's key", metavar="FILE")],
) -> None:
    """Put a device of the registry on the chain; device and admin sign, the admin pays."""

    async def work(session: Session) -> bytes:
        admin, device = _admin(session, key), signatory(device_key)
        member = session.registry.get(device_id)
        if member is None or member.key != bytes(device.address):
            found = "is not in the registry" if member is None else f"has another key in the registry than {device_key}"
            raise WalletError(f"device {device_id} {found}; add it with `etp registry add`")
        made = session.make.register(admin.address, device.address, device_id, ROLES[member.role])
        return await session.wallet.submit([made], [admin.pair, device.pair])

    done(f"device {device_id} registered", with_session(registry, rpc, work))


@app.command()
def revoke(registry: RegistryOption, rpc: RpcOption, key: KeyOption, device_id: DeviceOption) -> None:
    """What a device signs from now on does not settle any more."""

    async def work(session: Session) -> bytes:
        admin = _admin(session, key)
        return await session.wallet.submit([session.make.revoke(admin.address, device_id)], [admin.pair])

    done(f"device {device_id} revoked", with_session(registry, rpc, work))
