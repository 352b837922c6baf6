"""A node's answer in JSON, judged before solders reads it.

solders unwraps what it does not find: an error without its `data`, or a blockhash of the wrong length, ends in a Rust panic,
which no `except Exception` stops. What passes here does not panic there; what the settler needs of errors is read here.
"""

from typing import Any, Final, Generic, TypeVar

import msgspec
from solders.hash import Hash, ParseHashError

from contracts.errors import ContractsError
from contracts.program_errors import CUSTOM
from contracts.rpc import Refused

WORDS: Final = 200
"""Characters of a node's message that are kept."""
PREFLIGHT: Final = -32002
"""Code of a refused sendTransaction: the simulation failed, and `data` says how."""
UNHEALTHY: Final = -32005
"""Code of a node that is behind; some providers' "too many requests"."""

T = TypeVar("T")


class Fault(msgspec.Struct):
    """What JSON-RPC calls an error."""

    code: int
    message: str
    data: Any = None


class Answer(msgspec.Struct, Generic[T]):
    """What a node says to one request: a result or an error."""

    result: T | msgspec.UnsetType = msgspec.UNSET
    error: Fault | None = None
    id: Any = None


class InContext(msgspec.Struct, Generic[T]):
    """A result as of a slot."""

    value: T


class LatestBlockhash(msgspec.Struct, rename="camel"):
    """Of getLatestBlockhash."""

    blockhash: str
    last_valid_block_height: int


class Status(msgspec.Struct, rename="camel"):
    """Of getSignatureStatuses: what became of one transaction."""

    err: str | dict[str, Any] | None
    confirmation_status: str | None = None


class FaultError(ContractsError):
    """The node answers with an error: which, in `fault`."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(f"the RPC answers with error {fault.code}: {fault.message[:WORDS]}")


class UnreadableError(ContractsError, ValueError):
    """What the node answered is no answer of Solana's JSON-RPC."""


def read(body: bytes, kind: type[T]) -> T:
    """JSON as a value of a type. Raises UnreadableError for anything else, however deep."""
    found: T = _decoded(body, kind)
    return found


def read_many(body: bytes) -> list[Answer[str]] | None:
    """Answers to several requests; None where the node gave one to all of them. Raises UnreadableError."""
    found: list[Answer[str]] | Answer[Any] = _decoded(body, list[Answer[str]] | Answer[Any])
    return found if isinstance(found, list) else None


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(str(error)) from error


def result_of(answer: Answer[T]) -> T:
    """Raises FaultError where it is an error, UnreadableError where it is nothing."""
    if answer.error is not None:
        raise FaultError(answer.error)
    if isinstance(answer.result, msgspec.UnsetType):
        raise UnreadableError("neither a result nor an error")
    return answer.result


def check(body: bytes) -> None:
    """Whether it is a result of any kind. Raises FaultError, UnreadableError."""
    result_of(read(body, Answer[Any]))


def check_blockhash(body: bytes) -> None:
    """Whether it is an answer to getLatestBlockhash. Raises FaultError, UnreadableError."""
    try:
        Hash.from_string(result_of(read(body, Answer[InContext[LatestBlockhash]])).value.blockhash)
    except ParseHashError as error:
        raise UnreadableError(str(error)) from error


def refused_of(err: object, words: str = "") -> Refused:
    """A TransactionError of the runtime, as JSON has it: its name, and the program's code where that refused. Raises UnreadableError."""
    name, inner = _variant(err)
    if name == "InstructionError" and isinstance(inner, list) and inner:
        name, inner = _variant(inner[-1])
    code = inner if name == CUSTOM and isinstance(inner, int) else None
    return Refused(name, code, words[:WORDS])


def _variant(err: object) -> tuple[str, object]:
    """A Rust enum's value: its name alone, or its name and what it holds."""
    if isinstance(err, str):
        return err[:WORDS], None
    if isinstance(err, dict) and len(err) == 1:
        name, inner = next(iter(err.items()))
        return str(name)[:WORDS], inner
    raise UnreadableError(f"{str(err)[:WORDS]} is no error of a transaction")


def refusal_in(fault: Fault) -> Refused | None:
    """The refusal of a transaction by its simulation; None where the error is about something else. Raises UnreadableError."""
    if fault.code != PREFLIGHT or not isinstance(fault.data, dict) or fault.data.get("err") is None:
        return None
    return refused_of(fault.data["err"], fault.message)
