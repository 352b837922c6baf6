"""The runtime's errors as a node of Solana tells them: as JSON, and in words (Solana: TransactionError, InstructionError)."""

import re
from typing import Any, Final

import msgspec
from solders.transaction_metadata import FailedTransactionMetadata

Failure = str | dict[str, Any]
"""A TransactionError in its JSON form: a name, or {name: what}."""

ALREADY_PROCESSED: Final = "AlreadyProcessed"
BLOCKHASH_NOT_FOUND: Final = "BlockhashNotFound"
INSUFFICIENT_RENT: Final = "InsufficientFundsForRent"

_TRANSACTION: Final = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    ALREADY_PROCESSED: "This transaction has already been processed",
    BLOCKHASH_NOT_FOUND: "Blockhash not found",
    "InvalidAccountIndex": "Transaction contains an invalid account reference",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
    "SanitizeFailure": "Transaction failed to sanitize accounts offsets correctly",
    "AccountLoadedTwice": "Account loaded twice",
    "TooManyAccountLocks": "Transaction locked too many accounts",
    "InvalidWritableAccount": "Transaction writable account is invalid",
    "MaxLoadedAccountsDataSizeExceeded": "Transaction exceeded max loaded accounts data size cap",
    "UnbalancedTransaction": "Sum of account balances before and after transaction do not match",
}
_INSTRUCTION: Final = {
    "GenericError": "generic instruction error",
    "InvalidArgument": "invalid program argument",
    "InvalidInstructionData": "invalid instruction data",
    "InvalidAccountData": "invalid account data for instruction",
    "AccountDataTooSmall": "account data too small for instruction",
    "InsufficientFunds": "insufficient funds for instruction",
    "IncorrectProgramId": "incorrect program id for instruction",
    "MissingRequiredSignature": "missing required signature for instruction",
    "AccountAlreadyInitialized": "instruction requires an uninitialized account",
    "UninitializedAccount": "instruction requires an initialized account",
    "UnbalancedInstruction": "sum of account balances before and after instruction do not match",
    "ExternalAccountLamportSpend": "instruction spent from the balance of an account it does not own",
    "ExternalAccountDataModified": "instruction modified data of an account it does not own",
    "ReadonlyLamportChange": "instruction changed the balance of a read-only account",
    "ReadonlyDataModified": "instruction modified data of a read-only account",
    "NotEnoughAccountKeys": "insufficient account keys for instruction",
    "AccountNotExecutable": "instruction expected an executable account",
    "AccountBorrowFailed": "instruction tries to borrow reference for an account which is already borrowed",
    "UnsupportedProgramId": "Unsupported program id",
    "CallDepth": "Cross-program invocation call depth too deep",
    "MissingAccount": "An account required by the instruction is missing",
    "ReentrancyNotAllowed": "Cross-program invocation reentrancy not allowed for this instruction",
    "InvalidSeeds": "Provided seeds do not result in a valid address",
    "InvalidRealloc": "Failed to reallocate account data",
    "ComputationalBudgetExceeded": "Computational budget exceeded",
    "PrivilegeEscalation": "Cross-program invocation with unauthorized signer or writable account",
    "ProgramFailedToComplete": "Program failed to complete",
    "ProgramFailedToCompile": "Program failed to compile",
    "AccountNotRentExempt": "An account does not have enough lamports to be rent-exempt",
    "InvalidAccountOwner": "Invalid account owner",
    "ArithmeticOverflow": "Program arithmetic overflowed",
    "UnsupportedSysvar": "Unsupported sysvar",
    "IllegalOwner": "Provided owner is not allowed",
}
_HUMP: Final = re.compile(r"(?<!^)(?=[A-Z])")


def failure_of(result: object) -> Failure | None:
    """The error of what the runtime answered, None where it succeeded."""
    if not isinstance(result, FailedTransactionMetadata):
        return None
    found: Failure = msgspec.json.decode(result.to_json())["err"]
    return found


def in_words(failure: Failure) -> str:
    """What a node says of it."""
    if isinstance(failure, str):
        return _TRANSACTION.get(failure) or _plain(failure)
    name, what = next(iter(failure.items()))
    if name == "InstructionError":
        index, error = what
        return f"Error processing Instruction {index}: {_instruction(error)}"
    if name == INSUFFICIENT_RENT:
        return f"Transaction results in an account ({what['account_index']}) with insufficient funds for rent"
    return f"{_plain(name)}: {msgspec.json.encode(what).decode()}"


def _instruction(error: Failure) -> str:
    if isinstance(error, str):
        return _INSTRUCTION.get(error) or _plain(error)
    name, what = next(iter(error.items()))
    return f"custom program error: {what:#x}" if name == "Custom" else f"{_plain(name)}: {what}"


def _plain(name: str) -> str:
    return _HUMP.sub(" ", name).lower()
