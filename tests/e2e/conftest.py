"""Daemons of these tests speak plain frames, unless a test asks for the signed profile."""

import pytest


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETP_PROFILE", "plain")
