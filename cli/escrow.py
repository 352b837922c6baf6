"""`etp escrow`: what an aggregator puts aside for its trades."""

import json
from typing import Annotated

import typer

from cli.chain import (
    DeviceOption,
    KeyOption,
    RegistryOption,
    RpcOption,
    Session,
    done,
    micro,
    money,
    signatory,
    told,
    with_session,
)
from contracts.accounts import Escrow
from contracts.addresses import token_account
from contracts.exposure import free
from contracts.io.wallet import WalletError
from runtime.settings import SettingsError

app = typer.Typer(no_args_is_help=True)
MISSING = "deposit first: `etp escrow deposit`"


@app.command()
def deposit(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    device_id: DeviceOption,
    amount: Annotated[str, typer.Argument(help="in the settlement currency, such as 250 or 12.50")],
) -> None:
    """Move money from the key's token account into its escrow."""
    with told():
        wanted = micro("AMOUNT", amount)

    async def work(session: Session) -> bytes:
        buyer, market = signatory(key), await session.market()
        source = token_account(buyer.address, market.mint)
        if await session.wallet.account(source) is None:
            raise WalletError(
                f"{buyer.address} has no token account for {market.mint}: send it some of that currency first"
            )
        vault = session.make.create_vault(buyer.address, device_id, market.mint)
        move = session.make.deposit(buyer.address, device_id, market.mint, source, wanted)
        return await session.wallet.submit([vault, move], [buyer.pair])

    done(f"{money(wanted)} deposited", with_session(registry, rpc, work))


@app.command()
def withdraw(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    device_id: DeviceOption,
    amount: Annotated[str | None, typer.Argument(help="ask for so much; without it: take what was asked for")] = None,
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="take the request back")] = False,
) -> None:
    """Ask for money back, and take it out once the market's delay is over; meanwhile it still pays trades."""
    with told():
        if cancel and amount is not None:
            raise SettingsError("AMOUNT", amount, "expected none with --cancel, which takes the whole request back")
        wanted = micro("AMOUNT", amount) if amount is not None else 0

    async def work(session: Session) -> bytes:
        buyer, market = signatory(key), await session.market()
        if wanted or cancel:
            return await session.wallet.submit(
                [session.make.request_withdraw(buyer.address, device_id, wanted)], [buyer.pair]
            )
        destination = token_account(buyer.address, market.mint)
        taken = session.make.withdraw(buyer.address, device_id, market.mint, destination)
        return await session.wallet.submit([taken], [buyer.pair])

    what = "request taken back" if cancel else f"{money(wanted)} asked for" if wanted else "withdrawn"
    done(what, with_session(registry, rpc, work))


@app.command()
def show(registry: RegistryOption, rpc: RpcOption, device_id: DeviceOption) -> None:
    """Print the escrow as one JSON object, money in µ; `free_micro` is what new bids can count on."""

    async def work(session: Session) -> Escrow:
        place = session.place
        return await session.wallet.read(place.program_id, Escrow, place.escrow(device_id), MISSING)

    escrow = with_session(registry, rpc, work)
    fields = {
        "device_id": escrow.device_id,
        "available_micro": escrow.available,
        "held_micro": escrow.held,
        "withdrawal_micro": escrow.withdrawal_amount,
        "withdrawal_since": escrow.withdrawal_since,
        "free_micro": free(escrow),
    }
    typer.echo(json.dumps(fields))
