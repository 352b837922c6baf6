"""`python -m bess_node`: the battery daemon."""

from bess_node.io.daemon import run
from bess_node.settings import BessSettings
from runtime.io.service import serve


def main(settings: BessSettings) -> int:
    """Run the daemon; returns its exit status."""
    return serve(settings.log_level, lambda lifecycle: run(settings, lifecycle))


if __name__ == "__main__":
    import typer

    from runtime.io.settings import command

    typer.run(command(BessSettings, main))
