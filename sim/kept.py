"""A scenario as text: what a seed said when it was drawn, so that it stays that market whatever its seed says later.

Kept is what the draw has set, and no default: a default that changes may change the market. Whether a kept scenario is still one of
its bug is seen by planting that bug (tests/sim/regressions).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, get_type_hints

import msgspec

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from etp.codes import Role
from runtime.settings import NodeSettings
from sim.byzantine import HOSTILE
from sim.draw import Mode, Scenario
from sim.faults import Fault
from sim.plan import ClockPlan, NodeClass, Plan

PLAIN: Final[Mapping[str, Any]] = {
    **{name: get_type_hints(Plan)[name] for name in ("series", "weather", "seconds", "discovered", "moves", "hashed")},
    "clocks": dict[int, ClockPlan],
    "limits": dict[str, int | float],
    "discovery_limits": dict[str, int | float],
}
"""Fields of a plan that are kept as they are, and their types."""


def written(drawn: Scenario) -> str:
    """JSON, a line for each value: what `read` makes the same scenario of."""
    plan = drawn.plan
    names = {
        device_id: name
        for role, nodes in _roles(plan).items()
        for name, kind in HOSTILE[role].items()
        for device_id, drawn_kind in plan.hostile.items()
        if device_id in nodes and drawn_kind is kind
    }
    document = {
        "seed": drawn.seed,
        "mode": drawn.mode,
        **{name: getattr(plan, name) for name in PLAIN},
        "batteries": _told(plan.batteries),
        "buyers": _told(plan.buyers),
        "hostile": names,
        "script": drawn.script,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def read(text: str) -> Scenario:
    """The scenario that was written. Raises msgspec.ValidationError, pydantic.ValidationError or KeyError where a field is wrong."""
    document = msgspec.json.decode(text)
    plan = Plan(
        document["seed"],
        tuple(BessSettings(**each) for each in document["batteries"]),
        tuple(AggregatorSettings(**each) for each in document["buyers"]),
        **{name: msgspec.convert(document[name], kind, str_keys=True) for name, kind in PLAIN.items()},
    )
    roles = _roles(plan)
    hostile: dict[int, NodeClass] = {
        int(device_id): HOSTILE[role][name]
        for device_id, name in document["hostile"].items()
        for role in roles
        if int(device_id) in roles[role]
    }
    mode = msgspec.convert(document["mode"], Mode)
    script = tuple(msgspec.convert(each, Fault) for each in document["script"])
    return Scenario(plan.seed, mode, replace(plan, hostile=hostile), script)


def _told(nodes: Iterable[NodeSettings]) -> list[dict[str, Any]]:
    return [node.model_dump(mode="json", exclude_unset=True) for node in nodes]


def _roles(plan: Plan) -> dict[Role, set[int]]:
    return {
        Role.BESS: {node.device_id for node in plan.batteries},
        Role.AGGREGATOR: {node.device_id for node in plan.buyers},
    }
