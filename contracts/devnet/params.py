"""Parameters of a JSON-RPC call: read, judged, and refused with what would be right.

Unknown keys of a configuration are ignored, as a node does.
"""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Final

import based58
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from contracts.devnet.errors import invalid
from contracts.devnet.slots import Commitment

MAX_U64: Final = 2**64 - 1
LONGEST_ADDRESS: Final = 44
LONGEST_SIGNATURE: Final = 88


def decode_base58(text: str) -> bytes:
    """Bytes out of base58. Raises ValueError. Keep `text` short: the work grows with its square."""
    try:
        return bytes(based58.b58decode(text.encode("ascii")))
    except Exception as error:
        raise ValueError("not base58") from error


def decode_base64(text: str) -> bytes:
    """Bytes out of base64. Raises ValueError."""
    return b64decode(text, validate=True)


DECODERS: Final = {"base58": decode_base58, "base64": decode_base64}


def is_whole(value: object, most: int = MAX_U64) -> bool:
    """Whether a JSON value is a whole number of 0 to `most`; true is none."""
    return type(value) is int and 0 <= value <= most


class Config:
    """The object at the end of most calls' parameters."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def commitment(self, key: str = "commitment") -> Commitment:
        """How sure the caller wants to be; finalized where nothing is said. Raises RpcError."""
        value = self.values.get(key)
        if value is None:
            return Commitment.FINALIZED
        try:
            return Commitment(value)
        except ValueError:
            raise invalid(f"unknown {key} `{value}`, expected `processed`, `confirmed` or `finalized`") from None

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of some words. Raises RpcError."""
        value = self.values.get(key)
        if value is None:
            return default
        if value not in choices:
            raise invalid(f"{key} is {value!r}, expected one of {', '.join(choices)}")
        return str(value)

    def flag(self, key: str) -> bool:
        """A switch, off where nothing is said. Raises RpcError."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise invalid(f"{key} is {value!r}, expected true or false")
        return bool(value)

    def number(self, key: str, most: int = MAX_U64) -> int | None:
        """A whole number, or None. Raises RpcError."""
        value = self.values.get(key)
        if value is not None and not is_whole(value, most):
            raise invalid(f"{key} is {value!r}, expected a whole number of 0 to {most}")
        return value

    def slice(self) -> tuple[int, int] | None:
        """`dataSlice`: offset and length, or None. Raises RpcError."""
        value = self.values.get("dataSlice")
        if value is None:
            return None
        if not isinstance(value, dict) or not all(is_whole(value.get(key)) for key in ("offset", "length")):
            raise invalid("dataSlice: expected {offset, length}, both whole numbers")
        return value["offset"], value["length"]


class Params:
    """The parameters of one call, by place."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values

    def _at(self, index: int) -> Any:
        return self.values[index] if index < len(self.values) else None

    def config(self, index: int) -> Config:
        """The configuration, empty where there is none. Raises RpcError."""
        value = self._at(index)
        if value is not None and not isinstance(value, dict):
            raise invalid(f"parameter {index + 1} is {value!r:.80}, expected an object with the configuration")
        return Config(value or {})

    def text(self, index: int, what: str) -> str:
        """A string. Raises RpcError."""
        value = self._at(index)
        if not isinstance(value, str):
            raise invalid(f"{what} is {value!r:.80}, expected a string")
        return value

    def number(self, index: int, what: str, most: int = MAX_U64) -> int:
        """A whole number. Raises RpcError."""
        value = self._at(index)
        if not is_whole(value, most):
            raise invalid(f"{what} is {value!r:.80}, expected a whole number of 0 to {most}")
        return int(value)

    def items(self, index: int, what: str, most: int) -> list[str]:
        """A list of strings. Raises RpcError."""
        value = self._at(index)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid(f"{what}: expected a list of strings")
        if len(value) > most:
            raise invalid(f"Too many inputs provided; max {most}")
        return value

    def address(self, index: int, what: str = "address") -> Pubkey:
        """An address in base58. Raises RpcError."""
        return address_of(self.text(index, what), what)

    def blockhash(self, index: int) -> Hash:
        """A blockhash in base58. Raises RpcError."""
        return Hash(bytes(address_of(self.text(index, "blockhash"), "blockhash")))


def address_of(text: object, what: str) -> Pubkey:
    """32 bytes in base58. Raises RpcError."""
    try:
        if isinstance(text, str) and len(text) <= LONGEST_ADDRESS:
            return Pubkey.from_string(text)
    except ValueError:
        pass
    raise invalid(f"{what} is {text!r:.80}, expected 32 bytes in base58")


def signature_of(text: str) -> Signature:
    """64 bytes in base58. Raises RpcError."""
    try:
        if len(text) <= LONGEST_SIGNATURE:
            return Signature.from_string(text)
    except ValueError:
        pass
    raise invalid(f"signature is {text!r:.100}, expected 64 bytes in base58")
