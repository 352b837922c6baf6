"""Why a transaction failed, in words, and what helps: the program's errors by the IDL, the runtime's by their names."""

from enum import Enum
from typing import Final, NamedTuple

from contracts.interface import Interface
from contracts.rpc import Refused

CUSTOM: Final = "Custom"
"""The runtime's name for a program's own error."""
SYSTEM_NO_FUNDS: Final = 1
"""The System program's ResultWithNegativeLamports: whoever pays the rent has too little."""


class Cause(Enum):
    """What a failure is about, and so what helps."""

    SHORT = "short"
    """The buyer's escrow: look at it."""
    PAYER = "payer"
    """The battery's own account: its owner must fill it."""
    STALE = "stale"
    """The blockhash is unknown there, or over: time tells."""
    DONE = "done"
    """It may have happened already: read it back."""
    WAIT = "wait"
    """The chain's clock or the market's pause: time tells."""
    SETTLE = "settle"
    """The escrow can pay after all."""
    OPERATOR = "operator"
    """Nothing changes by waiting."""


class Failure(NamedTuple):
    """A failure: what helps, and the reason in words."""

    cause: Cause
    words: str


RUNTIME: Final[dict[str, tuple[Cause, str]]] = {
    "AccountNotFound": (Cause.PAYER, "the fee payer has no account on this chain"),
    "InsufficientFundsForFee": (Cause.PAYER, "the fee payer cannot pay the fee"),
    "InsufficientFundsForRent": (Cause.PAYER, "the fee payer cannot pay the rent"),
    "InvalidAccountForFee": (Cause.PAYER, "the fee payer is no account that can pay fees"),
    "BlockhashNotFound": (Cause.STALE, "the RPC does not know the blockhash"),
    "AlreadyProcessed": (Cause.DONE, "the transaction was processed already"),
    "ProgramAccountNotFound": (Cause.OPERATOR, "the program is not on this chain"),
}
"""The runtime's errors that need something else than the operator, or better words."""

PROGRAM: Final[dict[str, Cause]] = {
    "EscrowTooShort": Cause.SHORT,
    "WrongOwner": Cause.SHORT,  # of an escrow that was never filled; any other account was read before
    "AlreadyExists": Cause.DONE,
    "AlreadySettled": Cause.DONE,
    "WrongStatus": Cause.DONE,
    "EscrowCanPay": Cause.SETTLE,
    "Paused": Cause.WAIT,
    "MessageTooNew": Cause.WAIT,
    "ReleaseTooEarly": Cause.WAIT,
}
"""By the IDL's name; what is not here needs the operator."""


def explain(interface: Interface, refused: Refused) -> Failure:
    """What a refusal means."""
    if refused.name == CUSTOM and refused.code is not None:
        return _of_program(interface, refused.code)
    cause, words = RUNTIME.get(refused.name, (Cause.OPERATOR, refused.words or refused.name))
    return Failure(cause, words)


def _of_program(interface: Interface, code: int) -> Failure:
    if code == SYSTEM_NO_FUNDS:
        return Failure(Cause.PAYER, "the fee payer cannot pay the trade's rent")
    known = interface.errors.get(code)
    if known is None:
        return Failure(Cause.OPERATOR, f"error {code}, which the IDL does not list: is it the IDL of this program?")
    name, words = known
    return Failure(PROGRAM.get(name, Cause.OPERATOR), f"{words} ({name})")
