"""The lists of a running gateway, page after page, over one connection; waits where it is told to."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import httpx

from gateway.place import GatewayPlace

ITEMS: Final = 500
ANSWER_S: Final = 35.0
"""A gateway gives a request 30 s."""
ATTEMPTS: Final = 8
LONGEST_WAIT_S: Final = 10.0
BUSY: Final = frozenset({429, 503})
OK: Final = 200


class EndedError(Exception):
    """The export ended before its end: why, and what would be right."""


class Pages:
    """A gateway that is asked. Use it as a context."""

    def __init__(self, place: GatewayPlace, key: str | None) -> None:
        self._place = place
        self._client = httpx.AsyncClient(
            base_url=f"{place.base}/api/v1/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=ANSWER_S,
            trust_env=False,  # a proxy of the environment is no place for a key, nor for loopback
        )

    async def __aenter__(self) -> "Pages":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def walk(self, name: str, filters: Mapping[str, Any]) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """A list to its end. Raises EndedError."""
        cursor: dict[str, str] = {}
        while True:
            page = await self._get(name, {"limit": ITEMS, **filters, **cursor})
            yield page["items"]
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def bids(self, lot: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A lot's bids. Raises EndedError."""
        named = {"battery": lot["battery"], "lot_id": lot["lot_id"]}
        found = await self._get(f"lots/{lot['battery']}/{lot['lot_id']}", {})
        return [named | bid for bid in found["progress"]]

    async def _get(self, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        for attempt in range(ATTEMPTS):
            try:
                answer = await self._client.get(path, params=dict(params))
            except httpx.HTTPError as error:
                raise EndedError(f"{self._place.name} does not answer: {error or type(error).__name__}") from error
            if answer.status_code == OK:
                found: dict[str, Any] = answer.json()
                return found
            if answer.status_code not in BUSY:
                raise EndedError(f"{self._place.name} answers {answer.status_code}: {_detail(answer)}")
            # It says when: nothing is polled.
            await asyncio.sleep(min(LONGEST_WAIT_S, float(answer.headers.get("retry-after", 2**attempt))))
        raise EndedError(f"{self._place.name} is busy and stays so; try again later")


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return "no gateway answers like this; expected the URL of one"
