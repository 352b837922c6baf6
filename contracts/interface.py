"""The program's interface as its IDL says it, read by anchorpy: instructions, accounts, events and errors by name."""

from collections.abc import Mapping
from typing import Any, Final

from anchorpy.coder.coder import Coder
from anchorpy_core.idl import Idl
from construct import ConstructError
from pyheck import snake
from solders.instruction import AccountMeta, Instruction

from contracts.addresses import Address
from contracts.errors import InterfaceError

DISCRIMINATOR_SIZE: Final = 8
INSTRUCTIONS: Final = frozenset(
    {
        "open_market", "set_market", "register", "revoke", "deposit", "request_withdraw", "withdraw", "settle",
        "record_default", "release", "refund", "dispute", "resolve", "close_trade",
    }
)  # fmt: skip
"""What this client calls (docs/settlement.md, Program)."""
ACCOUNTS: Final = frozenset({"Market", "Participant", "Escrow", "Trade"})


class Interface:
    """See the module. Raises InterfaceError for a text that is not the program's IDL."""

    def __init__(self, text: str) -> None:
        try:
            idl = Idl.from_json(text)
            self._coder = Coder(idl)
        except Exception as error:  # anchorpy's reader raises a class of its own that it does not export
            raise InterfaceError(f"the IDL cannot be read ({error})") from error
        self._instructions = {snake(found.name): found for found in idl.instructions}
        missing = sorted(INSTRUCTIONS - set(self._instructions))
        missing += sorted(ACCOUNTS - {found.name for found in idl.accounts})
        if missing:
            raise InterfaceError(f"the IDL lacks {', '.join(missing)}")
        self.errors: dict[int, tuple[str, str]] = {
            int(found.code): (found.name, found.msg or found.name) for found in idl.errors or ()
        }
        """By code: the error's name, and what it says in words."""
        layouts = {account.name: self._coder.accounts._accounts_layout[account.name] for account in idl.accounts}  # noqa: SLF001
        self._sizes = {name: DISCRIMINATOR_SIZE + layout.sizeof() for name, layout in layouts.items()}

    def size(self, kind: str) -> int:
        """Bytes of an account of a kind."""
        return self._sizes[kind]

    def discriminator(self, kind: str) -> bytes:
        """The first eight bytes of every account of a kind."""
        return bytes(self._coder.accounts.acc_name_to_discriminator[kind])

    def instruction(
        self, program_id: Address, name: str, accounts: Mapping[str, Address], /, **arguments: object
    ) -> Instruction:
        """An instruction, its accounts in the IDL's order. Raises InterfaceError where names or types differ."""
        listed = self._instructions[name]
        wanted = [snake(account.name) for account in listed.accounts]
        if set(wanted) != set(accounts) or {snake(argument.name) for argument in listed.args} != set(arguments):
            raise InterfaceError(
                f"the IDL's {name} takes ({', '.join(snake(a.name) for a in listed.args)}) and the accounts"
                f" {', '.join(wanted)}; this client has ({', '.join(arguments)}) and {', '.join(accounts)}"
            )
        metas = [
            AccountMeta(accounts[snake(account.name)], is_signer=account.is_signer, is_writable=account.is_mut)  # type: ignore[union-attr]
            for account in listed.accounts
        ]
        try:
            data = self._coder.instruction.encode(name, dict(arguments))
        except (ConstructError, TypeError, KeyError, ValueError) as error:
            raise InterfaceError(f"{name} cannot be encoded ({error})") from error
        return Instruction(program_id, data, metas)

    def decode(self, kind: str, data: bytes) -> Any:
        """The fields of an account of a kind. Raises InterfaceError where its size or discriminator is another."""
        if len(data) != self._sizes[kind]:
            raise InterfaceError(f"a {kind} account has {len(data)} bytes, the IDL's has {self._sizes[kind]}")
        if data[:DISCRIMINATOR_SIZE] != self.discriminator(kind):
            raise InterfaceError(f"an account begins with {data[:DISCRIMINATOR_SIZE].hex()}, which is no {kind}")
        return self._coder.accounts.decode(data)
