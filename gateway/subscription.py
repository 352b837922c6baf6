"""What a client of the stream asked for: types and nodes, as one value, so that equal wishes are served by the same bytes."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gateway.events import EVENTS, Subscribed

LARGEST_ID: Final = 2**64 - 1
TYPES: Final = frozenset(EVENTS)


class SubscriptionError(ValueError):
    """A subscription that cannot be: which thing is wrong, and what would be right."""


class Subscription(NamedTuple):
    """Events whose type is in `types` and whose node is in `nodes` (None: any) and not in `without`."""

    types: frozenset[str] = frozenset()
    nodes: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    def wants(self, kind: str, node: str) -> bool:
        """Whether an event is sent."""
        return kind in self.types and (self.nodes is None or node in self.nodes) and node not in self.without

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be wanted."""
        return not self.types or (self.nodes is not None and not self.nodes)

    def said(self, seq: int) -> Subscribed:
        """The answer to a change."""
        return Subscribed(
            types=None if self.types == TYPES else sorted(self.types),
            nodes=None if self.nodes is None else sorted(self.nodes, key=int),
            without_nodes=sorted(self.without, key=int),
            seq=seq,
        )


NOTHING: Final = Subscription()
EVERYTHING: Final = Subscription(TYPES)


def subscribed(types: Sequence[str] | None, nodes: Sequence[str] | None, most_nodes: int) -> Subscription:
    """What `subscribe` asks for. Raises SubscriptionError."""
    return Subscription(TYPES if types is None else _types(types), None if nodes is None else _nodes(nodes, most_nodes))


def unsubscribed(
    before: Subscription, types: Sequence[str] | None, nodes: Sequence[str] | None, most_nodes: int
) -> Subscription:
    """What is left after `unsubscribe`. Raises SubscriptionError."""
    if types is None and nodes is None:
        return NOTHING
    fewer = before.types - _types(types or ())
    gone = _nodes(nodes or (), most_nodes)
    if before.nodes is not None:
        after = Subscription(fewer, before.nodes - gone)
    else:
        after = Subscription(fewer, None, _bounded(before.without | gone, most_nodes))
    return NOTHING if after.is_empty else after


def _types(names: Iterable[str]) -> frozenset[str]:
    found = frozenset(names)
    unknown = sorted(found - TYPES)
    if unknown:
        raise SubscriptionError(f"types: there is no {unknown[0][:40]!r}; there are {', '.join(sorted(TYPES))}")
    return found


def _nodes(ids: Iterable[str], most: int) -> frozenset[str]:
    found = frozenset(str(int(text)) for text in ids)
    wrong = [text for text in found if int(text) > LARGEST_ID]
    if wrong:
        raise SubscriptionError(f"nodes: {wrong[0]} is no device id; expected a u64 in decimal")
    return _bounded(found, most)


def _bounded(found: frozenset[str], most: int) -> frozenset[str]:
    if len(found) > most:
        raise SubscriptionError(f"nodes: {len(found)} are named; expected at most {most}, or null for all")
    return found
