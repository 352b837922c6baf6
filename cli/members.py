"""What `etp registry sync` does: the participants of a market on its chain become the members of its registry."""

from pathlib import Path

import typer

from cli.chain import Session, told, with_session
from contracts.io.wallet import WalletError
from contracts.members import members_in, request, synchronised
from contracts.rpc import TradeAccounts
from etp.registry import Registry, RegistryError
from runtime.io.registry_file import RegistryFileError, save_registry


def sync_members(path: Path, url: str) -> None:
    """Write the registry anew, and say what changed."""
    before, after = with_session(path, url, _fetched)
    if after.members != before.members:
        with told():
            save_registry(path, after)
    new, gone = len(set(after.members) - set(before.members)), len(set(before.members) - set(after.members))
    revoked = sum(member.revoked_us is not None for member in after)
    typer.echo(f"{len(after)} devices: {new} new, {gone} no longer there, {revoked} revoked")


async def _fetched(session: Session) -> tuple[Registry, Registry]:
    # Of a market that is not there nobody is a member: a slip in its name must not empty a registry.
    await session.market()
    interface = session.make.interface
    answer = await session.wallet.ask(request(interface, session.place))
    if not isinstance(answer, TradeAccounts):
        raise WalletError("the RPC does not list a program's accounts (getProgramAccounts); give another one")
    try:
        return session.registry, synchronised(session.registry, members_in(interface, answer))
    except RegistryError as error:
        raise RegistryFileError(Path("of the chain"), str(error)) from error
