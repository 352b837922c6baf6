"""`etp` in this process: a command that is no daemon says the same here, a second sooner than in one of its own."""

from collections.abc import Mapping

from click.testing import Result
from typer.testing import CliRunner

from cli.main import app


def tool(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None, status: int | None = 0) -> Result:
    """Run it, and see that it ends with this status (None: any), by itself and not by an exception."""
    ran = CliRunner().invoke(app, list(arguments), input=stdin, env=env)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert status in (None, ran.exit_code), (arguments, ran.exit_code, ran.output)
    return ran
