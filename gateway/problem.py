"""What went wrong with a request, as a value: RFC 9457 (problem+json). `detail` says what would be right."""

from http import HTTPStatus
from typing import Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"


class ProblemError(Exception):
    """A request that is not done: which thing is wrong, what it was, and what would be right."""

    def __init__(
        self, status: int, detail: str, *, title: str | None = None, retry_after_s: float | None = None
    ) -> None:
        self.status, self.detail = status, detail
        self.title = title or HTTPStatus(status).phrase
        self.retry_after_s = retry_after_s
        super().__init__(f"{status} {self.title}: {detail}")


def body_of(problem: ProblemError, instance: str | None = None) -> bytes:
    """The answer's body; `instance` is the path that was asked for, without its query: that may hold what was mistyped."""
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "instance": instance,
        }
    )


def headers_of(problem: ProblemError) -> dict[str, str]:
    """What the answer's head says of it."""
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(problem.retry_after_s + 0.5)))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="etp gateway"'
    return headers
