"""`etp settle`: what a battery's trades still need, and whether the chain says what its journal says."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from solders.pubkey import Pubkey
from solders.signature import Signature

from cli.chain import (
    FAILED,
    KeyOption,
    RegistryOption,
    RpcOption,
    Session,
    StateDir,
    money,
    place_of,
    signatory,
    told,
    with_session,
)
from contracts.accounts import Trade, TradeStatus, read
from contracts.evidence import SHOWN_AS, differences
from contracts.instructions import Instructions
from contracts.io.idl import load_interface
from contracts.io.rpc import Rpc
from contracts.io.settler import SettlerShell
from contracts.io.watch import ChainError, Reconciler, ask_all
from contracts.outbox import FINAL, KIND, UNSETTLED, Act, Attempt, Entry, OutboxState, entry_of
from contracts.reconcile import may_be_closed
from contracts.rpc import MAX_ACCOUNTS, Accounts, GetAccounts
from contracts.settler import Settler
from contracts.transactions import Signer, parsed
from etp.effects import Row
from etp.io.clock import system_now
from etp.record import is_signed_by, trailer
from etp.registry import Registry
from runtime.histogram import Metrics
from runtime.io.journal import Journal, JournalInUse
from runtime.io.journal_reader import JournalReader
from runtime.io.logging import set_up
from runtime.io.registry_file import load_registry

MICRO = 1_000_000
CLOSED_AT_ONCE = 8
"""Trades in one transaction: 33 bytes of account and 12 of instruction each."""
BATTERY = "bess"

app = typer.Typer(no_args_is_help=True)
Rpcs = Annotated[
    list[str], typer.Option("--rpc", envvar="ETP_RPC", help="URL of a Solana RPC; may be repeated", metavar="URL")
]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per line")]


def _battery_id(reader: JournalReader) -> int:
    role, _, device_id = str(reader.node).partition(" ")
    if role != BATTERY:
        raise ChainError(f"the journal belongs to {reader.node}; only a battery settles: give its --state-dir")
    return int(device_id)


def _outbox(state_dir: Path) -> tuple[int, dict[int, Entry]]:
    """The battery's device_id, and the newest entry of each lot."""
    reader = JournalReader(state_dir)
    try:
        entries = {row.lot_id: entry_of(row) for _, row in reader.rows() if row.kind == KIND}
        return _battery_id(reader), entries
    finally:
        reader.close()


def as_json(entry: Entry) -> dict[str, Any]:
    """An entry as an object: integers, money in µ."""
    attempt = entry.attempt
    return {
        "lot_id": entry.lot_id,
        "bidder": entry.buyer,
        "message_id": entry.message_id,
        "energy_wh": entry.energy,
        "price_micro_per_kwh": entry.price,
        "amount_micro": entry.amount,
        "state": entry.state.value,
        "reason": entry.reason,
        "confirmed_us": entry.confirmed_us,
        "changed_us": entry.changed_us,
        "signed": entry.signed,
        "signature": str(Signature(attempt.signature)) if attempt else None,
        "record_hash": entry.record_hash.hex(),
    }


@app.command()
def status(
    state_dir: StateDir,
    *,
    everything: Annotated[bool, typer.Option("--all", help="what is settled or refunded as well")] = False,
    json_lines: Json = False,
) -> None:
    """Show the trades that are not settled yet, and why; reads only, also beside the running daemon."""
    with told():
        _, entries = _outbox(state_dir)
    shown = [entry for entry in entries.values() if everything or entry.state not in FINAL]
    if json_lines:
        for entry in shown:
            typer.echo(json.dumps(as_json(entry)))
        return
    table = Table("lot", "buyer", "amount", "state", "age, s", "reason")
    now_us = system_now().wall_us
    for entry in shown:
        age = str((now_us - entry.confirmed_us) // MICRO)
        table.add_row(str(entry.lot_id), str(entry.buyer), money(entry.amount), entry.state.value, age, entry.reason)
    Console().print(table)
    owed = sum(entry.amount for entry in entries.values() if entry.state in UNSETTLED)
    over = sum(entry.state in FINAL for entry in entries.values())
    typer.echo(f"{len(entries)} trades, {over} of them settled or refunded; {money(owed)} not on the chain yet")


@app.command()
def retry(
    state_dir: StateDir,
    registry: RegistryOption,
    rpc: Rpcs,
    key: Annotated[Path, typer.Option("--key", envvar="ETP_KEY", help="file with the battery's key", metavar="FILE")],
    *,
    for_s: Annotated[float, typer.Option("--for-s", min=1, help="give up after so long, s")] = 120.0,
) -> None:
    """Settle what is open, and take held money whose time is over, without the daemon: for a battery that is switched off."""
    set_up("warning")
    with told():
        members = load_registry(registry)
        reader = JournalReader(state_dir)
        battery_id = _battery_id(reader)
        reader.close()
        left = asyncio.run(_retry(state_dir, battery_id, members, urls=rpc, key=key, for_s=for_s))
    for entry in left:
        typer.echo(f"lot {entry.lot_id}: {entry.state.value}: {entry.reason or 'on its way'}")
    typer.echo(f"{len(left)} trades are still to be settled" if left else "all trades are on the chain")
    raise typer.Exit(FAILED if left else 0)


async def _retry(
    state_dir: Path, battery_id: int, members: Registry, *, urls: list[str], key: Path, for_s: float
) -> list[Entry]:
    signer_key = signatory(key)
    make = Instructions(load_interface(), place_of(members))
    signer = Signer(make, signer_key.address, battery_id, signer_key.sign)
    rpcs = [Rpc(url) for url in urls]
    try:
        journal = Journal.open(state_dir, role=BATTERY, device_id=battery_id)
    except JournalInUse:
        raise ChainError(
            f"the battery that owns {state_dir} is running: it settles by itself; `etp settle status` shows how far it is"
        ) from None

    async def commit(rows: tuple[Row, ...]) -> None:
        await journal.commit(rows)

    try:
        settler = Settler(signer, rpcs=len(rpcs), rng=random.Random(random.SystemRandom().randrange(2**32)))
        shell = SettlerShell(settler, rpcs, commit=commit, write=journal.write, metrics=Metrics(), clock=system_now)
        shell.restore(entry_of(row) for row in journal.pending_rows() if row.kind == KIND)
        await _run_until_clear(shell, for_s)
        return [entry for entry in settler.entries() if _is_due(entry)]
    finally:
        journal.close()
        for one in rpcs:
            await one.close()


def _is_due(entry: Entry) -> bool:
    """Whether there is something to do for a trade now: to pay it, or to release what was held for it."""
    is_held = entry.state in (OutboxState.HELD, OutboxState.DISPUTED)
    return entry.state in UNSETTLED or (is_held and entry.release_at * MICRO <= system_now().wall_us)


async def _run_until_clear(shell: SettlerShell, for_s: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(shell.run())
        try:
            async with asyncio.timeout(for_s):
                await shell.until(lambda settler: not any(_is_due(entry) for entry in settler.entries()))
        except TimeoutError:
            pass
        shell.stop()


@app.command()
def close(state_dir: StateDir, registry: RegistryOption, rpc: RpcOption, key: KeyOption) -> None:
    """Take back the rent of trades that are long over: their accounts on the chain are closed."""
    with told():
        battery_id, entries = _outbox(state_dir)
        signer = signatory(key)
    over = [entry for entry in entries.values() if entry.state in FINAL]

    async def work(session: Session) -> tuple[int, int]:
        market = await session.market()
        due = [entry for entry in over if may_be_closed(entry.message_id, market, system_now().wall_us)]
        there = await _still_there(session, battery_id, due)
        for first in range(0, len(there), CLOSED_AT_ONCE):
            part = there[first : first + CLOSED_AT_ONCE]
            made = [session.make.close_trade(signer.address, battery_id, entry.lot_id) for entry in part]
            await session.wallet.submit(made, [signer.pair])
        return len(there), len(over) - len(due)

    closed, later = with_session(registry, rpc, work)
    typer.echo(f"{closed} trades closed, their rent is back; {later} may be closed later")


async def _still_there(session: Session, battery_id: int, entries: list[Entry]) -> list[Entry]:
    """Those whose Trade account is still on the chain."""
    found: list[Entry] = []
    for first in range(0, len(entries), MAX_ACCOUNTS):
        part = entries[first : first + MAX_ACCOUNTS]
        asked = GetAccounts(tuple(session.place.trade(battery_id, entry.lot_id) for entry in part))
        answer = await session.wallet.ask(asked)
        assert isinstance(answer, Accounts)
        found += [entry for entry, account in zip(part, answer.found, strict=True) if account is not None]
    return found


@app.command()
def reconcile(state_dir: StateDir, registry: RegistryOption, rpc: Rpcs) -> None:
    """Compare the whole outbox with the chain; status 1 where they differ. Reads only, also beside the running daemon."""
    with told():
        members = load_registry(registry)
        battery_id, entries = _outbox(state_dir)
        make = Instructions(load_interface(), place_of(members))

        async def work() -> Any:
            rpcs = [Rpc(url) for url in rpc]
            try:
                return await Reconciler(make, battery_id, rpcs, state_dir).compare(system_now)
            finally:
                for one in rpcs:
                    await one.close()

        found = asyncio.run(work())
    for difference in found:
        typer.echo(f"{difference.kind}: {difference.words}")
    typer.echo(f"{len(entries)} trades compared: {len(found)} differences")
    raise typer.Exit(FAILED if found else 0)


class Check(NamedTuple):
    """One link of the chain from a record to its payment."""

    what: str
    holds: bool
    found: str


def checks(entry: Entry, members: Registry, battery_id: int, attempts: list[Attempt]) -> Iterator[Check]:
    """What can be checked without the chain: keys, signatures, terms, and the transactions that were signed."""
    buyer, battery = members.get(entry.buyer), members.get(battery_id)
    network = members.network.network_id
    known = buyer is not None and buyer.key == entry.buyer_key
    yield Check("the registry binds the buyer's key", known, str(Pubkey(entry.buyer_key)))
    signed = is_signed_by(entry.buyer_key, network, entry.record)
    yield Check("the buyer signed the record for this network", signed, f"record {entry.record_hash.hex()}")
    said = trailer(entry.record)
    to_us = battery is not None and said.recipient == battery.key
    yield Check("the record is addressed to this battery", to_us, str(Pubkey(said.recipient)))
    terms = (said.lot_id, said.energy, said.price) == (entry.lot_id, entry.energy, entry.price)
    yield Check("the record says what the journal says", terms, f"{said.energy} Wh at {said.price} µ/kWh")
    for attempt in attempts:
        transaction = parsed(attempt.raw)
        whole = attempt.act is Act.RELEASE or entry.record[-64:] in attempt.raw  # what is held is released without it
        valid = all(transaction.verify_with_results()) and whole
        what = "a release of its money" if attempt.act is Act.RELEASE else "a transaction with that record"
        yield Check(f"{what} was signed", valid, str(transaction.signatures[0]))


def on_chain(entry: Entry, trade: Trade, battery_id: int) -> Iterator[Check]:
    """What the Trade account says."""
    other = differences(entry, trade, battery_id)
    said = ", ".join(other) or f"{money(trade.amount)}, fee {money(trade.fee)}"
    yield Check("the chain's account says what the outbox says", not other, said)
    agrees = SHOWN_AS[trade.status] is entry.state or entry.state in UNSETTLED
    yield Check(f"the journal's state is {entry.state.value}", agrees, f"{TradeStatus(trade.status).name} on the chain")


@app.command()
def verify(
    trade: Annotated[int, typer.Argument(metavar="TRADE", min=1, help="the lot_id of the trade")],
    state_dir: StateDir,
    registry: RegistryOption,
    rpc: Rpcs,
    *,
    json_lines: Json = False,
) -> None:
    """Follow a trade from the signed record to the chain's account; status 1 where a link does not hold."""
    with told():
        members = load_registry(registry)
        battery_id, entries = _outbox(state_dir)
        if trade not in entries:
            raise ChainError(
                f"the journal in {state_dir} has no trade of lot {trade}; `etp settle status --all` lists them"
            )
        found = [*checks(entries[trade], members, battery_id, _signed(state_dir, trade))]
        found += asyncio.run(_chain_checks(entries[trade], members, battery_id, rpc))
    for check in found:
        if json_lines:
            typer.echo(json.dumps(check._asdict()))
        else:
            typer.echo(f"{'ok  ' if check.holds else 'NOT '} {check.what}: {check.found}")
    raise typer.Exit(0 if all(check.holds for check in found) else FAILED)


def _signed(state_dir: Path, lot_id: int) -> list[Attempt]:
    """The transactions that were ever signed for a lot, each once."""
    reader = JournalReader(state_dir)
    try:
        rows = [row for _, row in reader.rows() if row.kind == KIND and row.lot_id == lot_id]
    finally:
        reader.close()
    attempts = [entry_of(row).attempt for row in rows]
    return list(dict.fromkeys(attempt for attempt in attempts if attempt is not None and attempt.raw))


async def _chain_checks(entry: Entry, members: Registry, battery_id: int, urls: list[str]) -> list[Check]:
    place, interface = place_of(members), load_interface()
    rpcs = [Rpc(url) for url in urls]
    try:
        answers = await ask_all(rpcs, GetAccounts((place.trade(battery_id, entry.lot_id),)))
    finally:
        for one in rpcs:
            await one.close()
    accounts = [answer.found[0] for answer in answers if isinstance(answer, Accounts)]
    if not accounts:
        raise ChainError("no RPC answers: is one running, are the URLs right?")
    found: list[Check] = []
    for account in accounts:
        if account is None:
            found.append(Check("the chain has an account of it", holds=False, found="there is none (any more)"))
        else:
            found += on_chain(entry, read(interface, place.program_id, Trade, account), battery_id)
    return found
