"""A figure of a process that serves Prometheus' text format."""

from typing import Final
from urllib.request import urlopen

TIMEOUT_S: Final = 10.0


class ScrapeError(OSError):
    """A process does not expose what is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no metric {name} is exposed")


def sample(text: str, name: str) -> float:
    """The value of a metric without labels. Raises ScrapeError."""
    for line in text.splitlines():
        found, _, value = line.partition(" ")
        if found == name:
            return float(value)
    raise ScrapeError(name)


def scraped(address: str, name: str) -> float:
    """The value that the process at HOST:PORT exposes. Raises ScrapeError, OSError."""
    with urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as answer:
        return sample(answer.read().decode(), name)
