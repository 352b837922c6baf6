"""`etp keygen`: a node's key, which is its Solana wallet as well."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.io.key_file import KeyFileError, load_key, make_key
from runtime.registry import base58

FAILED = 1


def command(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="where the key goes, such as DIR/key.json")],
    show: Annotated[bool, typer.Option("--show", help="print the public key of a file that is there")] = False,  # noqa: FBT002
) -> None:
    """Make an Ed25519 key in Solana's JSON format, mode 0600, and print its public half in base58."""
    try:
        pair = load_key(path) if show else make_key(path)
    except KeyFileError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(FAILED) from error
    typer.echo(base58(pair.public))
