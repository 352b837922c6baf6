"""Errors of the local chain.

EtpError
└── DevnetError
    ├── LedgerError      the ledger cannot be read: which line, why
    ├── ReplayError      the ledger can be read, but does not come to the same again
    └── ProgramError     a program that the runtime does not take
RpcError                 an answer, never seen outside a request: code, message, data
"""

from typing import Any, Final

from etp.errors import EtpError

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_FAILURE: Final = -32003
UNSUPPORTED_VERSION: Final = -32015
SLOT_NOT_REACHED: Final = -32016


class DevnetError(EtpError):
    """Root of what stops the local chain."""


class LedgerError(DevnetError):
    """A line of the ledger that cannot be used."""

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(
            f"line {line} of the ledger {reason}; restore it from a copy, or begin with another --state-dir"
        )


class ReplayError(DevnetError):
    """What the ledger tells does not happen again: it was written by another version of the runtime, or by another hand."""


class ProgramError(DevnetError):
    """Bytes that are no program."""


class RpcError(Exception):
    """The error of one JSON-RPC answer, as a node of Solana gives it."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        self.code, self.message, self.data = code, message, data
        super().__init__(message)


def invalid(message: str) -> RpcError:
    """Parameters that mean nothing: say which, what it was, and what would be right."""
    return RpcError(INVALID_PARAMS, f"Invalid params: {message}")
