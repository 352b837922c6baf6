"""`etp doctor`: measure, judge, and say what to change. Imports nothing heavy until it is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.doctor.verdicts import Verdict
    from etp.discovery_limits import Address

WRONG_USE: Final = 2
KEY_FILE: Final = "key.json"


def command(
    *,
    interface: Annotated[
        str, typer.Option("--interface", envvar="ETP_INTERFACE", metavar="ADDRESS", help="of the network for multicast")
    ] = "127.0.0.1",
    group: Annotated[
        str, typer.Option("--group", envvar="ETP_GROUP", metavar="GROUP:PORT", help="multicast group of discovery")
    ] = "239.192.77.77:8888",
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", help="directory of the node's journal (default: this one)"),
    ] = None,
    gateway: Annotated[
        list[str] | None, typer.Option("--gateway", metavar="URL", help="a gateway to reach; several allowed")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="HOST:PORT", help="a battery whose clock is asked; several allowed"),
    ] = None,
    registry: Annotated[
        Path | None,
        typer.Option("--registry", envvar="ETP_REGISTRY", metavar="FILE", help="ask batteries in `signed`: the market"),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help=f"and an aggregator's key (default: {KEY_FILE} in --state-dir)"),
    ] = None,
    print_json: Annotated[bool, typer.Option("--json", help="one JSON object: ok, checks")] = False,
) -> None:
    """Check that this machine is fit to trade, and say what to change. Status 1: something is in the way."""
    from cli.doctor.report import as_json, show  # noqa: PLC0415 - `etp bess` must not wait for it
    from cli.doctor.verdicts import worst_of  # noqa: PLC0415

    addresses = _checked(interface, group, peer or [])
    places = [_base(url) for url in gateway or []]
    checks = [
        *_network(interface, addresses[0]),
        *_clocks(addresses, interface, registry, key, state_dir),
        *_disk(state_dir),
        *_machine(),
        *_gateways(places),
    ]
    if print_json:
        typer.echo(as_json(checks))
    else:
        show(checks)
    raise typer.Exit(worst_of(checks))


def _checked(interface: str, group: str, peers: list[str]) -> "list[Address]":
    """The group, then the peers."""
    from ipaddress import IPv4Address  # noqa: PLC0415

    from runtime.settings import SettingsError, parse_address  # noqa: PLC0415

    try:
        parse_address("interface", f"{interface}:0")
        where = parse_address("group", group)
        if not IPv4Address(where[0]).is_multicast or where[1] == 0:
            raise SettingsError("group", group, "expected a multicast group and port, such as 239.192.77.77:8888")
        return [where, *(parse_address("peer", peer) for peer in peers)]
    except SettingsError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(WRONG_USE) from None


def _base(url: str) -> str:
    from gateway.place import PlaceError, parse_place  # noqa: PLC0415

    try:
        return parse_place(url).base
    except PlaceError as error:
        typer.echo(f"etp: --gateway {error}", err=True)
        raise typer.Exit(WRONG_USE) from None


def _network(interface: str, group: "Address") -> "Iterator[Verdict]":
    from cli.doctor import network, verdicts  # noqa: PLC0415

    yield verdicts.judge_multicast(network.echo(group, interface))
    yield verdicts.judge_ports(interface, network.try_ports(interface))


def _clocks(
    addresses: "list[Address]", interface: str, registry: Path | None, key: Path | None, state_dir: Path | None
) -> "Iterator[Verdict]":
    from cli.doctor import machine, verdicts  # noqa: PLC0415
    from cli.doctor.peers import Clocks, PeersError, ask_clocks, plain_asker, signed_asker  # noqa: PLC0415
    from etp.timing import Timing  # noqa: PLC0415

    yield verdicts.judge_clock(machine.ask_clock(), Timing())
    if registry is not None and state_dir is None:
        yield verdicts.skipped(
            "clocks of batteries", "give --state-dir of the aggregator that asks: its journal counts"
        )
        return
    try:
        if registry is None or state_dir is None:
            asker = plain_asker()
        else:
            found = signed_asker(registry, key or state_dir / KEY_FILE, state_dir, addresses[0])
            if isinstance(found, Clocks):
                where = f"batteries, as measured by {found.told_by}"
                yield verdicts.judge_peer_clocks(where, found.clocks, named=False, timing=Timing())
                return
            asker = found
    except PeersError as error:
        yield verdicts.skipped("clocks of batteries", str(error))
        return
    try:
        for number, address in enumerate(addresses):
            where = "the group" if number == 0 else f"{address[0]}:{address[1]}"
            try:
                clocks = ask_clocks(asker, address, interface, group=number == 0)
            except PeersError as error:
                yield verdicts.Verdict(
                    f"clock of {where}", verdicts.State.BAD, str(error), "check --interface and --peer"
                )
                continue
            yield verdicts.judge_peer_clocks(where, clocks, named=number > 0, timing=Timing())
    finally:
        asker.close()


def _disk(state_dir: Path | None) -> "Iterator[Verdict]":
    from cli.doctor import machine, verdicts  # noqa: PLC0415
    from etp.timing import Timing  # noqa: PLC0415
    from runtime.io.journal import JournalError  # noqa: PLC0415

    directory = state_dir or Path()
    try:
        yield verdicts.judge_commits(machine.commits_now(directory), Timing())
    except JournalError as error:
        advice = "give --state-dir a directory that this user may write to"
        yield verdicts.Verdict("journal commits", verdicts.State.BAD, str(error), advice)
    yield verdicts.judge_space(machine.free_space(directory), str(directory.absolute()))
    if machine.has_journal(directory):
        yield verdicts.judge_journal(str(directory), *machine.read_journal(directory))
    else:
        yield verdicts.skipped("journal", f"there is none in {directory.absolute()}")


def _machine() -> "Iterator[Verdict]":
    from cli.doctor import machine, verdicts  # noqa: PLC0415

    yield verdicts.judge_files(machine.open_file_limit())
    yield verdicts.judge_memory(machine.available_memory())
    yield verdicts.judge_ticks(machine.monotonic_step_s())
    yield verdicts.judge_python(*machine.software())


def _gateways(places: list[str]) -> "Iterator[Verdict]":
    from cli.doctor import network, verdicts  # noqa: PLC0415
    from etp.timing import Timing  # noqa: PLC0415

    for base in places:
        yield verdicts.judge_gateway(base, network.ask_gateway(base), Timing())
