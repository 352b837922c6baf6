"""`python -m aggregator_node`: the aggregator daemon."""

from aggregator_node.io.daemon import run
from aggregator_node.settings import AggregatorSettings
from runtime.io.service import serve


def main(settings: AggregatorSettings) -> int:
    """Run the daemon; returns its exit status."""
    return serve(settings.log_level, lambda lifecycle: run(settings, lifecycle))


if __name__ == "__main__":
    import typer

    from runtime.io.settings import command

    typer.run(command(AggregatorSettings, main))
