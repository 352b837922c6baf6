"""Cursors: where a page of a list ended, as a text that says nothing to its reader and is refused if it was changed.

base64url of version ‖ 8 bytes of SHA-256 ‖ the key of the last row, i64 each. The hash covers the list, its filters and the key,
so that a cursor of another list, of other filters, or one that was cut or altered is known. It is no secret: whoever forges one sees
rows of the very list that they may read anyway, from a place of their choice.
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

VERSION: Final = 1
_CHECK_BYTES: Final = 8
_HEAD: Final = struct.Struct(f"<B{_CHECK_BYTES}s")
_NUMBER: Final = 8
LONGEST: Final = 128
"""Characters; four numbers need 55."""


class CursorError(ValueError):
    """A text that is no cursor of this list: what is wrong with it, and what would be right."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}; expected the `next_cursor` of the page before, unchanged and with the same filters, or none"
        )


def encode(scope: str, key: Sequence[int]) -> str:
    """The cursor after the row with this key (i64 each). `scope`: the list and its filters."""
    numbers = struct.pack(f"<{len(key)}q", *key)
    return urlsafe_b64encode(_HEAD.pack(VERSION, _check(scope, numbers)) + numbers).rstrip(b"=").decode()


def decode(scope: str, text: str, length: int) -> tuple[int, ...]:
    """The key that a cursor names. Raises CursorError."""
    if len(text) > LONGEST:
        raise CursorError(f"it has {len(text)} characters, more than {LONGEST}")
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, UnicodeEncodeError):
        raise CursorError("it is no base64url") from None
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise CursorError("it is no base64url as it was given")
    if len(raw) < _HEAD.size or raw[0] != VERSION:
        raise CursorError("it was not given by this version of the gateway")
    _, check = _HEAD.unpack_from(raw)
    numbers = raw[_HEAD.size :]
    if check != _check(scope, numbers) or len(numbers) != length * _NUMBER:
        raise CursorError("it is of another list or other filters, or was changed")
    return struct.unpack(f"<{length}q", numbers)


def _check(scope: str, numbers: bytes) -> bytes:
    return sha256(scope.encode() + b"\0" + numbers).digest()[:_CHECK_BYTES]
