"""`/metrics` for Prometheus, and the probes: `/healthz` (the process answers), `/readyz` (what is published is stored)."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from etp.io.clock import system_now
from gateway.io.access import asker_of, viewer
from gateway.io.parts import Parts, parts
from gateway.metrics import Readings, exposition
from gateway.node_gauges import of_nodes, one
from gateway.problem import ProblemError
from runtime.exposition import CONTENT_TYPE, Family, text
from runtime.io.exporter import process

router = APIRouter(include_in_schema=False)
PROBED: Final = ["GET", "HEAD"]
"""Load balancers ask by either."""


@router.api_route("/healthz", methods=PROBED)
async def healthz() -> Response:
    """The process answers, and what its clock says (`etp doctor` compares)."""
    return JSONResponse({"ok": True, "time_us": system_now().wall_us})


@router.api_route("/readyz", methods=PROBED)
async def readyz(request: Request) -> Response:
    """The store takes what nodes publish. Raises ProblemError: 503; the database's own words are for this machine alone."""
    store, asked = parts(request).store, request.scope.get("etp.asker")
    if not store.healthy:
        is_local = asked is not None and asked.is_local
        why = (store.fault or "it is being closed") if is_local else "the gateway's log says why"
        raise ProblemError(503, f"the store does not take anything now: {why}")
    return PlainTextResponse("ok\n")


@router.api_route("/metrics", methods=PROBED)
async def metrics(request: Request) -> Response:
    """The gateway's counters and what alert rules need of each node. For this machine, or by API key."""
    asked = asker_of(request)
    if not asked.is_local:
        principal = await viewer(request)
        if principal.via != "api_key":
            raise ProblemError(403, "metrics are for this machine, or for an API key: etp gateway key add prometheus")
    found = parts(request)
    readings = _readings(found)
    whole = exposition(readings) + text([*of_nodes(readings.snapshot), *_of_stream(found)])
    return Response(whole, media_type=CONTENT_TYPE)


def _readings(found: Parts) -> Readings:
    store, hub = found.store, found.stream.hub
    counts = store.counts
    return Readings(
        ready=store.healthy,
        snapshot=found.world.snapshot(epoch=store.epoch, seq=hub.seq, now_us=system_now().wall_us, gap=False),
        clients=len(hub),
        feeds=found.ingest.nodes,
        rows=counts.rows,
        bids=counts.bids,
        transactions=counts.transactions,
        failures=counts.failures,
        dropped=counts.dropped,
        durable=store.durable_ms.as_dict(),
        process=process(),
    )


def _of_stream(found: Parts) -> list[Family]:
    stream, hub, bus = found.stream, found.stream.hub, found.bus
    families = [
        one("etp_gateway_stream_frames_total", "counter", "Frames handed to clients.", stream.sent_frames),
        one("etp_gateway_stream_bytes_total", "counter", "Bytes handed to clients.", stream.sent_bytes),
        one("etp_gateway_stream_lagged_total", "counter", "Times that a client read too slowly.", hub.lagged),
        one("etp_gateway_stream_closed_slow_total", "counter", "Clients closed for not reading.", hub.closed_slow),
        one("etp_gateway_feeds_refused_total", "counter", "Feeds ended for what their node did.", found.ingest.refused),
        one("etp_gateway_ingest_held_bytes", "gauge", "Bytes that wait to become durable.", found.ingest.held_bytes),
    ]
    if bus is not None:
        families += [
            one("etp_gateway_bus_connected", "gauge", "Whether Redis answers.", bus.connected),
            one("etp_gateway_bus_dropped_total", "counter", "Telemetry dropped while Redis was away.", bus.dropped),
        ]
    return families
