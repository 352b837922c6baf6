"""The `etp` command."""

import typer

from aggregator_node.__main__ import main as aggregator_main
from aggregator_node.settings import AggregatorSettings
from bess_node.__main__ import main as bess_main
from bess_node.settings import BessSettings
from cli import decode, export
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


app.command("bess", help="Serve one battery: the seller's daemon.")(command(BessSettings, bess_main))
app.command("aggregator", help="Buy energy: the buyer's daemon.")(command(AggregatorSettings, aggregator_main))
app.command("decode")(decode.command)
app.command("export")(export.command)

if __name__ == "__main__":
    app()
