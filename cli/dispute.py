"""`etp dispute`: a trade that was paid for and not delivered, for its buyer and the arbiter."""

from typing import Annotated

import typer

from cli.chain import (
    BatteryOption,
    KeyOption,
    LotOption,
    RegistryOption,
    RpcOption,
    Session,
    done,
    signatory,
    told,
    with_session,
)
from contracts.errors import TransactionError
from contracts.instructions import Parties, precompile
from etp.record import RECORD_SIZE
from runtime.settings import SettingsError

app = typer.Typer(no_args_is_help=True)


async def _parties(session: Session, battery: int, lot: int) -> Parties:
    trade = await session.trade(battery, lot)
    return Parties(trade.payer, battery, trade.aggregator, lot)


@app.command("open")
def open_dispute(
    registry: RegistryOption, rpc: RpcOption, key: KeyOption, battery: BatteryOption, lot: LotOption
) -> None:
    """Dispute a trade of ours while its money is held."""

    async def work(session: Session) -> bytes:
        buyer = signatory(key)
        parties = await _parties(session, battery, lot)
        return await session.wallet.submit([session.make.dispute(buyer.address, parties)], [buyer.pair])

    done(f"lot {lot} disputed", with_session(registry, rpc, work))


@app.command()
def resolve(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    battery: BatteryOption,
    lot: LotOption,
    *,
    to_battery: Annotated[bool, typer.Option("--to-battery/--to-buyer", help="who gets the money")],
) -> None:
    """Decide a dispute, as the market's arbiter."""

    async def work(session: Session) -> bytes:
        arbiter, market = signatory(key), await session.market()
        parties = await _parties(session, battery, lot)
        decided = session.make.resolve(arbiter.address, parties, market, to_battery=to_battery)
        return await session.wallet.submit([decided], [arbiter.pair])

    done(f"lot {lot} decided for the {'battery' if to_battery else 'buyer'}", with_session(registry, rpc, work))


@app.command()
def refund(
    registry: RegistryOption,
    rpc: RpcOption,
    key: KeyOption,
    battery: BatteryOption,
    lot: LotOption,
    *,
    record: Annotated[
        str, typer.Argument(metavar="HEX", help="the battery's signed Terminate for this lot, 212 bytes")
    ],
) -> None:
    """Get held money back with the battery's own signed Terminate(1 or 2); whoever has that record may do it."""
    with told():
        try:
            raw = bytes.fromhex(record)
        except ValueError as error:
            raise SettingsError("HEX", record[:20], f"expected {2 * RECORD_SIZE} hexadecimal digits") from error

    async def work(session: Session) -> bytes:
        payer = signatory(key)
        parties = await _parties(session, battery, lot)
        member = session.registry.get(battery)
        if member is None:
            raise TransactionError(f"battery {battery} is not in the registry; its key is needed to check the record")
        spoken = precompile(raw, session.place.network_id, member.key)
        return await session.wallet.submit([spoken, session.make.refund(parties)], [payer.pair])

    done(f"lot {lot} refunded", with_session(registry, rpc, work))
