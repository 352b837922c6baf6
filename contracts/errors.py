"""Errors of the `contracts` package.

ContractsError
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
            f"{what}: the IDL does not match the program;"
            " use the IDL and the program of one release, or give the program's id with --program-id"
        )


class AccountError(ContractsError):
    """An account is not what it should be: which, what it was, what would be right."""

    def __init__(self, what: str, found: str, right: str) -> None:
        self.what, self.found, self.right = what, found, right
        super().__init__(f"{what} {found}; {right}")


class TransactionError(ContractsError):
    """A transaction that cannot be made."""
