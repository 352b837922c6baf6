"""The reference pages of the gateway: docs/rest.md from its OpenAPI, docs/events.md from the types of its stream."""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI

from gateway import events, examples, stream_schema
from gateway.io import auth, rest
from tools.generated import ROOT, attribute_docs, main, table

REST: Final = ROOT / "docs" / "rest.md"
EVENTS: Final = ROOT / "docs" / "events.md"


@cache
def document() -> dict[str, Any]:
    """The OpenAPI of the API."""
    app = FastAPI(title="ETP gateway", version="1")
    for router in (rest.router, auth.router):
        app.include_router(router)
    rest.describe(app)
    return app.openapi()


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.removeprefix(rest.PREFIX), operation


def _name(schema: Mapping[str, Any]) -> str:
    """A schema in few words."""
    if "$ref" in schema:
        return _model(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_name(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_name(schema['items'])}" if "items" in schema else "list"
    return str(kind)


def _model(name: str) -> str:
    if name.startswith("Page_"):
        return f"a page of {_model(name.removeprefix('Page_').strip('_'))}"
    return f"[{name}](#{name.lower()})"


def _answer(operation: Mapping[str, Any]) -> str:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            schema = response.get("content", {}).get("application/json", {}).get("schema")
            return _name(schema) if schema else "nothing"
    return "nothing"


def routes() -> str:
    """What can be asked."""
    rows = (
        (f"`{method} {path}`", operation["summary"], _answer(operation)) for method, path, operation in _operations()
    )
    return table(("route", "what", "answers"), rows)


def parameters() -> str:
    """What narrows each list."""
    rows = [
        (f"`{path}`", f"`{each['name']}`", _name(each["schema"]), each.get("description", ""))
        for _, path, operation in _operations()
        for each in operation.get("parameters", ())
        if each["in"] == "query" and each["name"] not in ("limit", "cursor", "format")
    ]
    return table(("of", "parameter", "values", "what"), rows)


def models() -> str:
    """Every model, field by field."""
    parts = []
    for name, schema in sorted(document()["components"]["schemas"].items()):
        if name.startswith("Page_") or "properties" not in schema:
            continue
        rows = ((f"`{field}`", _name(each), _described(each)) for field, each in schema["properties"].items())
        parts.append(
            f"### {name}\n\n{_line(schema.get('description', ''))}\n\n{table(('field', 'type', 'what'), rows)}"
        )
    return "\n\n".join(parts)


def _described(schema: Mapping[str, Any]) -> str:
    found = schema.get("description") or next(
        (each["description"] for each in schema.get("anyOf", ()) if "description" in each), ""
    )
    return _line(found)


def _line(text: str) -> str:
    return " ".join(text.split())


def example() -> str:
    """One trade as it is answered."""
    return f"```json\n{json.dumps(examples.TRADE, indent=1)}\n```"


# -- the stream


def _docs(kind: type) -> dict[str, str]:
    """The docstrings of a type's fields, its parents' too."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, msgspec.Struct) and each is not msgspec.Struct:
            found |= attribute_docs(each)
    return found


def _type(name: str, kind: type, *, leave_out: Iterable[str] = (), schemas: Mapping[str, Any]) -> str:
    docs, schema = _docs(kind), schemas[kind.__name__]
    rows = [
        (f"`{field}`", _name(each), docs.get(field) or _described(each))
        for field, each in schema["properties"].items()
        if field not in leave_out
    ]
    text = f"### {name}\n\n{_line(inspect.getdoc(kind) or '')}"
    return f"{text}\n\n{table(('field', 'type', 'what'), rows)}" if rows else text


def _types(kinds: Iterable[type], *, leave_out: Iterable[str] = ()) -> str:
    schemas, left = stream_schema.definitions(), tuple(leave_out)
    return "\n\n".join(_type(kind.__name__, kind, leave_out=left, schemas=schemas) for kind in kinds)


def common() -> str:
    """What every event has."""
    docs, schema = _docs(events.Event), msgspec.json.schema(events.Event)["$defs"]["Event"]
    rows = ((f"`{name}`", _name(each), docs.get(name, "")) for name, each in schema["properties"].items())
    return table(("field", "type", "what"), [("`type`", "string", "which of those below it is"), *rows])


def all_events() -> str:
    """Each type of event, without what all have."""
    return _types(events.EVENTS.values(), leave_out=("type", *events.Event.__struct_fields__))


REST_PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "routes": routes,
    "parameters": parameters,
    "example": example,
    "models": models,
}
EVENT_PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "common": common,
    "events": all_events,
    "parts": lambda: _types((events.Latency, events.OpenLot, events.Totals)),
    "said": lambda: _types(stream_schema.SAID, leave_out=("type",)),
    "verbs": lambda: _types(stream_schema.VERBS),
}
PAGES: Final[tuple[tuple[Path, Mapping[str, Callable[[], str]]], ...]] = ((REST, REST_PARTS), (EVENTS, EVENT_PARTS))


def draw(arguments: tuple[str, ...] = ()) -> int:
    """Draw both pages, or check them."""
    return max(main(page, parts, arguments) for page, parts in PAGES)


if __name__ == "__main__":
    sys.exit(draw(tuple(sys.argv[1:])))
