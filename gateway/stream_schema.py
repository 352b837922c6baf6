"""The JSON Schemas of the stream, from its types: events, what else it says, and verbs."""

from typing import Any, Final

import msgspec

from gateway import events

SAID: Final = (events.Welcome, events.Subscribed, events.Snapshot, events.Resumed, events.StreamError)
VERBS: Final = (events.Subscribe, events.Unsubscribe, events.RequestSnapshot, events.Resume)
REF: Final = "#/$defs/{name}"


def definitions() -> dict[str, dict[str, Any]]:
    """One schema a type, by name, with what they refer to."""
    types = [*events.EVENTS.values(), *SAID, *VERBS]
    _, found = msgspec.json.schema_components(types, ref_template=REF)
    return {name: _described(schema) for name, schema in sorted(found.items())}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Docstrings on one line."""
    if "description" in schema:
        schema = schema | {"description": " ".join(str(schema["description"]).split())}
    return schema


def document() -> dict[str, Any]:
    """One JSON Schema: what the stream sends is an array of events and answers; `verbs` is what it understands."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ETP gateway stream",
        "description": "A message of the stream is an array of these; a client sends one of `$defs/Verb` a message.",
        "type": "array",
        "items": {"anyOf": [{"$ref": REF.format(name=name)} for name in (*events.EVENTS, *_names(SAID))]},
        "$defs": definitions() | {"Verb": {"anyOf": [{"$ref": REF.format(name=name)} for name in _names(VERBS)]}},
    }


def _names(types: tuple[type, ...]) -> list[str]:
    return [each.__name__ for each in types]
