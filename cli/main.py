"""The `etp` command."""

import typer

from aggregator_node.__main__ import main as aggregator_main
from aggregator_node.settings import AggregatorSettings
from bess_node.__main__ import main as bess_main
from bess_node.settings import BessSettings
from cli import decode, export, keygen, registry
from cli.demo.settings import DemoSettings
from cli.devnet import devnet
from cli.doctor import command as doctor
from cli.gateway_command import gateway
from cli.lazy import lazy
from cli.monitor import command as monitor
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


def demo(settings: DemoSettings) -> int:
    """Run the demo; what it needs is imported here, so that the daemons it starts need not wait for it."""
    from cli.demo.command import command as run  # noqa: PLC0415

    return run(settings)


app.command("demo", help="Watch batteries sell recorded days to competing buyers, each a process of its own.")(
    command(DemoSettings, demo)
)
app.command("bess", help="Serve one battery: the seller's daemon.")(command(BessSettings, bess_main))
app.command("aggregator", help="Buy energy: the buyer's daemon.")(command(AggregatorSettings, aggregator_main))
app.command("devnet", help="Serve a Solana chain of your own on loopback, with a faucet.")(
    command(DevnetSettings, devnet)
)
app.add_typer(gateway, name="gateway")
app.command("monitor")(monitor.command)
app.command("doctor")(doctor.command)
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
