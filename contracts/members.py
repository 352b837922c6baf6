"""The registry that the chain holds: a market's participants as members (docs/security.md, Registry)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from contracts.accounts import Participant, ParticipantRole, decode
from contracts.addresses import Place
from contracts.errors import AccountError
from contracts.interface import DISCRIMINATOR_SIZE, Interface
from contracts.rpc import GetTrades, TradeAccounts
from etp.codes import Role
from etp.registry import Member, Registry
from etp.units import WallUs

ROLES: Final[Mapping[int, Role]] = {ParticipantRole.BATTERY: Role.BESS, ParticipantRole.AGGREGATOR: Role.AGGREGATOR}
MICRO: Final = 1_000_000
MARKET_AT: Final = DISCRIMINATOR_SIZE + 1
"""Where a Participant account has its market: behind the bump."""


def request(interface: Interface, place: Place) -> GetTrades:
    """Asks for all participants of a market."""
    matches = ((0, interface.discriminator("Participant")), (MARKET_AT, bytes(place.market)))
    return GetTrades(place.program_id, matches)


def members_in(interface: Interface, answer: TradeAccounts) -> list[Member]:
    """The participants that an RPC shows, by device_id. Raises ContractsError."""
    people = [decode(interface, Participant, data) for _, data in answer.found]
    return [_member(person) for person in sorted(people, key=lambda person: person.device_id)]


def _member(person: Participant) -> Member:
    role = ROLES.get(person.role)
    if role is None:
        right = f"expected {', '.join(f'{known.value} {known.name}' for known in ParticipantRole)}"
        raise AccountError(f"the Participant account of device {person.device_id}", f"has role {person.role}", right)
    revoked_us = WallUs(person.revoked_at * MICRO) if person.revoked_at else None
    return Member(person.device_id, role, bytes(person.authority), revoked_us=revoked_us)


def synchronised(registry: Registry, members: list[Member]) -> Registry:
    """The registry with the chain's signed members, and with its own that speak `plain` and never settle.

    A revocation that is known here stands, although the chain does not know it yet.
    """
    plain = [member for member in registry if member.profile == "plain"]
    return Registry(registry.network, [*plain, *(_still_revoked(registry, member) for member in members)])


def _still_revoked(registry: Registry, member: Member) -> Member:
    known = registry.get(member.device_id)
    if known is None or known.key != member.key or known.revoked_us is None:
        return member
    if member.revoked_us is not None and member.revoked_us <= known.revoked_us:
        return member
    return replace(member, revoked_us=known.revoked_us)
