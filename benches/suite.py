"""The benches by name, in the order in which they run."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from benches import (
    clearing,
    closed,
    codec,
    connections,
    crowd,
    dashboard,
    desks,
    discovery,
    english,
    gateway_ingest,
    gateway_kills,
    gateway_rest,
    gateway_stream,
    instead,
    journal,
    promises,
    ready,
    records,
    session,
    settlement,
    signature_flood,
    signed,
    simulator,
)
from benches.plan import Plan
from benches.report import Report

Bench = Callable[[Plan], Report]
BENCHES: Final[Mapping[str, Bench]] = MappingProxyType(
    {
        "codec": codec.run,
        "clearing": clearing.run,
        "records": records.run,
        "session": session.run,
        "journal": journal.run,
        "discovery": discovery.run,
        "english": english.run,
        "signed": signed.run,
        "connections": connections.run,
        "closed": closed.run,
        "simulator": simulator.run,
        "instead": instead.run,
        "promises": promises.run,
        "crowd": crowd.run,
        "desks": desks.run,
        "ready": ready.run,
        "settlement": settlement.run,
        "signature_flood": signature_flood.run,
        "gateway_ingest": gateway_ingest.run,
        "gateway_stream": gateway_stream.run,
        "gateway_rest": gateway_rest.run,
        "gateway_kills": gateway_kills.run,
        "dashboard": dashboard.run,
    }
)
