"""The OpenAPI as it is true: problems are problem+json, examples are given, who may ask is said. Documents in, documents out."""

from collections.abc import Iterator
from typing import Any, Final

from gateway import examples
from gateway.access import COOKIE
from gateway.problem import MEDIA_TYPE

TAGS: Final = (
    ("market", "Lots, trades and payments, and all of them in a few numbers."),
    ("nodes", "Batteries and aggregators."),
    ("statistics", "What competition pays, and how deadlines are kept."),
    ("events", "What the stream said, and its schemas."),
    ("access", "Logging in, accounts, API keys, the audit log."),
)
SCHEMES: Final = {
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": f"__Host-{COOKIE}",
        "description": "a session, for browsers: set by a login; by http without the prefix, and at another port than the"
        " usual one with that port behind it",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API key, for programs: etp_KEYID_SECRET (etp gateway key add)",
    },
}
OPEN_PATHS: Final = frozenset({"/api/v1/login", "/api/v1/login/link"})
"""What needs no login."""
_PROBLEM: Final = "#/components/schemas/Problem"
_FIRST_ERROR: Final = 400
_OWN_ERRORS: Final = frozenset({"HTTPValidationError", "ValidationError"})
"""The framework's form of an error, which nobody gets."""


def refined(document: dict[str, Any]) -> dict[str, Any]:
    """The generated document, made true. Changes and returns it."""
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS]
    components = document.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    schemas = components.setdefault("schemas", {})
    for name in _OWN_ERRORS:
        schemas.pop(name, None)
    for name, schema in schemas.items():
        example = _example(name)
        if example is not None:
            schema["examples"] = [example]
    for path, operation in _operations(document):
        operation["summary"] = operation.get("description", operation["operationId"]).split("\n")[0].rstrip(".")
        for parameter in operation.get("parameters", ()):
            _plain(parameter)
        if path not in OPEN_PATHS:
            operation["security"] = [{name: []} for name in SCHEMES]
            operation["responses"].setdefault("401", {"description": "nobody is logged in"})
        for status, response in operation["responses"].items():
            if int(status) >= _FIRST_ERROR:
                _as_problem(response, int(status))
            else:
                _with_example(response)
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _plain(parameter: dict[str, Any]) -> None:
    """A parameter that may be left out is left out: a URL has no null."""
    schema = parameter.get("schema", {})
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if "anyOf" in schema:
        rest = {name: value for name, value in schema.items() if name not in ("anyOf", "description")}
        parameter["schema"] = rest | (choices[0] if len(choices) == 1 else {"anyOf": choices})
    description = parameter["schema"].pop("description", None)
    if description is not None:
        parameter.setdefault("description", description)


def _as_problem(response: dict[str, Any], status: int) -> None:
    example = examples.PROBLEM if status == examples.PROBLEM["status"] else None
    media: dict[str, Any] = {"schema": {"$ref": _PROBLEM}}
    response["content"] = {MEDIA_TYPE: media if example is None else media | {"example": example}}


def _example(name: str) -> Any:
    """Of a schema; None: there is none."""
    if name.startswith("Page_"):
        inner = name.removeprefix("Page_").strip("_")
        return examples.page(inner) if inner in examples.EXAMPLES else None
    return examples.EXAMPLES.get(name)


def _with_example(response: dict[str, Any]) -> None:
    for media in response.get("content", {}).values():
        schema = media.get("schema", {})
        reference = schema.get("$ref") or schema.get("items", {}).get("$ref", "")
        example = _example(reference.rpartition("/")[2])
        if example is not None:
            media["example"] = [example] if "items" in schema else example
