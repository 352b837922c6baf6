"""The OpenAPI is true: examples are of their models, and whatever is asked is answered as it says."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pydantic
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gateway import examples, schema
from tests.gateway import story

load_all_checks()
PATHS = 15


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document."""
    return story.app_of(None).openapi()


def test_every_example_is_of_its_model() -> None:
    """And every model has one."""
    models = {
        name: each
        for name, each in vars(schema).items()
        if isinstance(each, type) and issubclass(each, schema.Model) and each not in (schema.Model, schema.Page)
    }
    assert set(examples.EXAMPLES) == {name for name in models if not name.startswith("Page")}
    for name, example in examples.EXAMPLES.items():
        models[name].model_validate(example, strict=True)


def test_a_frame_of_an_example_has_its_size() -> None:
    """212 bytes."""
    assert len(bytes.fromhex(examples.FRAME["raw"])) == 212


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and operation."""
    for path, methods in document["paths"].items():
        assert list(methods) == ["get"]
        yield path, methods["get"]


def test_each_operation_says_who_may_ask_and_what_goes_wrong(document: dict[str, Any]) -> None:
    """A stable id, a tag that is explained, security, an example, problem+json for every error."""
    tags = {each["name"] for each in document["tags"]}
    found = dict(operations(document))
    assert len(found) == PATHS
    assert len({each["operationId"] for each in found.values()}) == PATHS
    for path, each in found.items():
        assert set(each["tags"]) <= tags
        assert each["security"] == [{"cookie": []}, {"key": []}]
        assert {"200", "401", "422", "503"} <= set(each["responses"])
        assert ("404" in each["responses"]) == ("{" in path)
        for status, response in each["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
        if path != "/api/v1/schemas/events":
            assert "example" in each["responses"]["200"]["content"]["application/json"], path
    assert set(document["components"]["securitySchemes"]) == {"cookie", "key"}


def test_examples_of_answers_fit_their_schema(document: dict[str, Any]) -> None:
    """Pages and lists too."""
    for path, each in operations(document):
        media = each["responses"]["200"]["content"]["application/json"]
        name = media["schema"].get("$ref", "").rpartition("/")[2]
        if name.startswith("Page_"):
            model = getattr(schema, name.removeprefix("Page_").strip("_"))
            pydantic.TypeAdapter(schema.Page[model]).validate_python(media["example"], strict=True)
        assert path


@pytest.mark.filterwarnings("ignore")
def test_whatever_is_asked_is_answered_as_it_says(tmp_path: Path) -> None:
    """schemathesis: no failure, no status, type or body that is not documented, for right and wrong parameters alike."""
    path = tmp_path / "story.sqlite"
    path.write_bytes(story.template())
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", poolclass=NullPool)  # each call has a loop of its own
    api = schemathesis.openapi.from_asgi("/api/v1/openapi.json", story.app_of(engine))
    checks = [
        schemathesis.checks.not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(strategy)
        response = case.call()
        statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)

    for operation in api.get_all_operations():
        for mode in GenerationMode:
            try:
                strategy = operation.ok().as_strategy(generation_mode=mode)
                ask()
            except SkipTest:
                assert mode is GenerationMode.NEGATIVE  # nothing about it can be wrong
    assert set(statuses) <= {200, 404, 422}
    assert statuses[200] >= 20
    assert statuses[422] >= 20
