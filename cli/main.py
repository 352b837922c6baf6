"""The `etp` command."""

import typer

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from cli import decode, export, keygen, lab, registry
from cli.demo.settings import DemoSettings
from cli.devnet import devnet
from cli.doctor import command as doctor
from cli.gateway_command import gateway
from cli.lazy import lazy
from cli.monitor import command as monitor
from cli.sim.settings import SimSettings
from contracts.devnet.settings import DevnetSettings
from runtime.io.settings import command

app = typer.Typer(
    name="etp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Energy Trading Protocol: home batteries sell their energy to competing buyers.",
)


@app.callback()
def etp() -> None:
    """Home batteries sell their energy to competing buyers."""


# What each of these needs is imported when it is called, so that no other command waits for it.


def bess(settings: BessSettings) -> int:
    """Serve a battery."""
    from bess_node.__main__ import main  # noqa: PLC0415

    return main(settings)


def aggregator(settings: AggregatorSettings) -> int:
    """Buy energy."""
    from aggregator_node.__main__ import main  # noqa: PLC0415

    return main(settings)


def demo(settings: DemoSettings) -> int:
    """Run the demo."""
    from cli.demo.command import command as run  # noqa: PLC0415

    return run(settings)


def simulate(settings: SimSettings) -> int:
    """Run the simulator; what it needs is imported here, so that the daemons need not wait for it."""
    from cli.sim.command import command as run  # noqa: PLC0415

    return run(settings)


app.command("demo", help="Watch batteries sell recorded days to competing buyers, each a process of its own.")(
    command(DemoSettings, demo)
)
app.command("bess", help="Serve one battery: the seller's daemon.")(command(BessSettings, bess))
app.command("aggregator", help="Buy energy: the buyer's daemon.")(command(AggregatorSettings, aggregator))
app.command("devnet", help="Serve a Solana chain of your own on loopback, with a faucet.")(
    command(DevnetSettings, devnet)
)
app.add_typer(gateway, name="gateway")
app.command("monitor")(monitor.command)
app.command("doctor")(doctor.command)
app.command("lab")(lab.command)
app.command("sim", help="Play seeded markets in which everything goes wrong, and check that no promise breaks.")(
    command(SimSettings, simulate)
)
app.command("decode")(decode.command)
app.command("export")(export.command)
app.command("keygen")(keygen.command)
app.add_typer(registry.app, name="registry")
app.add_typer(lazy("cli.market", "Open and run a market on the chain: its admin's commands."), name="market")
app.add_typer(lazy("cli.escrow", "Put money aside for trades, and take it back: a buyer's commands."), name="escrow")
app.add_typer(lazy("cli.settle", "See, retry and verify the settlement of a battery's trades."), name="settle")
app.add_typer(lazy("cli.dispute", "Dispute a trade whose money is held, and decide disputes."), name="dispute")

if __name__ == "__main__":
    app()
