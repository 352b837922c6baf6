"""`etp gateway`: by itself it serves; its sub-commands are loaded when one of them is called."""

import inspect
from typing import Any

import typer

from cli.lazy import lazy
from gateway.settings import GatewaySettings
from runtime.io.settings import command


def serve(settings: GatewaySettings) -> int:
    """Serve; what it needs is imported here, so that the other commands need not wait for it."""
    from gateway.__main__ import main  # noqa: PLC0415

    return main(settings)


def _unless_sub_command() -> Any:
    body = command(GatewaySettings, serve)
    signature = inspect.signature(body)

    def callback(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is None:
            body(**given)
        elif any(value not in (None, [], ()) for value in given.values()):
            name = next(name for name, value in given.items() if value not in (None, [], ()))
            typer.echo(
                f"etp: --{name.replace('_', '-')} is an option of serving: give it after {context.invoked_subcommand}",
                err=True,
            )
            raise typer.Exit(2)

    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    callback.__signature__ = inspect.Signature([first, *signature.parameters.values()])  # type: ignore[attr-defined]
    callback.__annotations__ = {"context": typer.Context, **body.__annotations__}
    return callback


gateway = lazy("cli.gateway", "Store, query and stream what nodes publish: the gateway's daemon, and its accounts.")
gateway.info.no_args_is_help = False
gateway.callback(
    cls=gateway.info.cls,
    invoke_without_command=True,
    help="Store, query and stream what nodes publish: the gateway's daemon, and its accounts.",
)(_unless_sub_command())
