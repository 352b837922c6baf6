"""What mechanisms with one leader share: it binds, it is the only bid that takes part, and it wins at its own price."""

from typing import Generic, Protocol, TypeVar

from etp.units import DeviceId, MonotonicS
from market.auction import UNSOLD, Award, Bid, Closing


class HasLeader(Protocol):
    """The state of such a lot."""

    @property
    def leader(self) -> Bid | None:
        """Who would win now."""


S = TypeVar("S", bound=HasLeader)


class Leading(Generic[S]):
    """See the module."""

    def withdraw(self, state: S, bidder: DeviceId) -> S:  # noqa: ARG002 - one interface for all
        """The state as it is: a leading bid binds."""
        return state

    def live(self, state: S, bidder: DeviceId) -> Bid | None:
        """The leading bid, to its bidder."""
        leader = state.leader
        return leader if leader is not None and leader.bidder == bidder else None

    def bids(self, state: S) -> tuple[Bid, ...]:
        """The leader alone: whoever is displaced is free."""
        return () if state.leader is None else (state.leader,)

    def close(self, state: S, now: MonotonicS) -> Closing:  # noqa: ARG002 - one interface for all
        """The leader wins what it asked for, at its own price."""
        leader = state.leader
        if leader is None:
            return UNSOLD
        return Closing((Award(leader, leader.energy, leader.price),), (), leader)
