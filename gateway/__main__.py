"""`python -m gateway`: the gateway's daemon."""

from gateway.io.daemon import run
from gateway.settings import GatewaySettings
from runtime.io.service import serve


def main(settings: GatewaySettings) -> int:
    """Run the daemon; returns its exit status."""
    return serve(settings.log_level, lambda lifecycle: run(settings, lifecycle))


if __name__ == "__main__":
    import typer

    from runtime.io.settings import command

    typer.run(command(GatewaySettings, main))
