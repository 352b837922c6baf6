"""Filters as they are asked for → as the lists have them."""

from typing import Any, Final

IDS: Final = frozenset({"battery", "aggregator", "node"})
NONE: Final = "none"
"""Asks for rows whose column is null."""


def numbers(filters: dict[str, Any]) -> dict[str, Any]:
    """Ids as numbers, `none` as null."""
    return {name: int(value) if name in IDS else None if value == NONE else value for name, value in filters.items()}
