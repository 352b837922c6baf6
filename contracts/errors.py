"""Errors of the `contracts` package.

ContractsError
├── AddressError       (contracts.addresses) a text or number that cannot be part of an address
├── OutboxError        (contracts.outbox) a row that is no outbox row, or a move that the outbox does not have
├── Unfit              (contracts.links) an RPC, or what is behind it, cannot be used
├── FaultError         (contracts.json_rpc) an RPC answers with an error of JSON-RPC
├── UnreadableError    (contracts.json_rpc) what an RPC answers is no answer of Solana's JSON-RPC
├── WalletError        (contracts.io.wallet) an RPC, or the chain, did not do what a person asked for
├── ChainError         (contracts.io.watch) the RPCs are of different chains, or none answers
├── InterfaceError     the IDL is not that of the program
├── AccountError       an account is missing, or is not what it should be
└── TransactionError   bytes that cannot be made into a transaction
"""


class ContractsError(Exception):
    """Root of what this package raises about the chain."""


class InterfaceError(ContractsError):
    """The IDL lacks what the program has, or says it otherwise."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the IDL does not match the program; use the IDL and the program of one release,"
            " or give that program's id in the registry's [market]"
        )


class AccountError(ContractsError):
    """An account is not what it should be: which, what it was, what would be right."""

    def __init__(self, what: str, found: str, right: str) -> None:
        self.what, self.found, self.right = what, found, right
        super().__init__(f"{what} {found}; {right}")


class TransactionError(ContractsError):
    """A transaction that cannot be made."""
