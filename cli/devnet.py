"""`etp devnet`: a chain of one's own, for development and tests."""

from contracts.devnet.settings import DevnetSettings
from runtime.io.service import serve


def devnet(settings: DevnetSettings) -> int:
    """Serve the local chain; what it needs is imported here, so that the other commands need not wait for it."""
    from contracts.devnet.io.daemon import run  # noqa: PLC0415

    return serve(settings.log_level, lambda lifecycle: run(settings, lifecycle))
