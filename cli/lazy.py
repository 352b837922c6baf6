"""Groups of commands that are imported when one of them is called: what they need must not slow a daemon's start."""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class _Lazy(TyperGroup):
    """A group whose commands are those of `module`'s `app`."""

    module: ClassVar[str]

    def _loaded(self) -> TyperGroup:
        return typer.main.get_group(import_module(self.module).app)

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return self._loaded().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them."""
        return self._loaded().get_command(ctx, cmd_name)


def lazy(module: str, says: str) -> typer.Typer:
    """The group of commands in `module`, with its help text."""
    group = type("Lazy", (_Lazy,), {"module": module})
    return typer.Typer(cls=group, help=says, no_args_is_help=True)
