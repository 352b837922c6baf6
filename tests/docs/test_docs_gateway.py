"""docs/rest.md and docs/events.md are what the gateway's code draws."""

from pathlib import Path

import pytest

from gateway import events
from tools import gateway_reference, generated


@pytest.mark.parametrize(("page", "parts"), gateway_reference.PAGES, ids=lambda each: getattr(each, "stem", ""))
def test_a_page_is_what_the_code_draws(page: Path, parts: generated.Parts) -> None:
    """Nothing is stale (`make docs` draws it anew), nothing is left out, nothing stands there twice."""
    text = page.read_text()
    assert generated.filled(text, parts) == text
    assert sorted(generated.names_of(text)) == sorted(parts)


def test_every_event_and_model_is_documented_and_linked() -> None:
    """A heading each; no link to a heading that is not there."""
    text = gateway_reference.EVENTS.read_text()
    assert all(f"### {name}\n" in text for name in events.EVENTS)
    page = gateway_reference.REST.read_text()
    headings = {line.removeprefix("### ").lower() for line in page.splitlines() if line.startswith("### ")}
    linked = {part.partition(")")[0] for part in page.split("](#")[1:]}
    assert linked
    assert linked <= headings


def test_every_field_of_an_event_says_its_type() -> None:
    """No schema that the tables cannot put into words."""
    assert " any " not in gateway_reference.all_events()
