"""One transaction of a person: built, sent, waited for until it is finalized. What batteries settle goes by the settler instead."""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

from solders.instruction import Instruction

from contracts.accounts import Escrow, Market, Participant, Trade, read
from contracts.addresses import Address
from contracts.errors import AccountError, ContractsError
from contracts.interface import Interface
from contracts.io.rpc import Rpc
from contracts.program_errors import explain
from contracts.rpc import (
    Account,
    Accounts,
    Answer,
    Blockhash,
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    GetStatuses,
    Refused,
    Request,
    RpcFailure,
    Sendings,
    SendTransactions,
    Sent,
    Statuses,
)
from contracts.transactions import Sign, signed
from etp.io.clock import system_now

RESEND_S: Final = 2.0
POLL_S: Final = 0.2

T = TypeVar("T", Market, Participant, Escrow, Trade)


class WalletError(ContractsError):
    """An RPC, or the chain, did not do what was asked: what it said, in words."""


class Wallet:
    """Speaks to one RPC."""

    def __init__(self, rpc: Rpc, interface: Interface) -> None:
        self.rpc, self.interface = rpc, interface

    async def ask(self, request: Request) -> Answer:
        """The RPC's answer. Raises WalletError where there is none."""
        answer = await self.rpc.ask(request)
        if isinstance(answer, RpcFailure):
            raise WalletError(f"the RPC {self.rpc.name} {answer.words}")
        return answer

    async def genesis(self) -> bytes:
        """Of the RPC's chain. Raises WalletError."""
        answer = await self.ask(GetGenesis())
        assert isinstance(answer, bytes)
        return answer

    async def account(self, address: Address) -> Account | None:
        """A finalized account. Raises WalletError."""
        answer = await self.ask(GetAccounts((address,)))
        assert isinstance(answer, Accounts)
        return answer.found[0]

    async def read(self, program_id: Address, kind: type[T], address: Address, missing: str) -> T:
        """A finalized account of the program; `missing`: what to do where there is none. Raises AccountError and others."""
        account = await self.account(address)
        if account is None:
            raise AccountError(f"the {kind.__name__} account {address}", "is not on this chain", missing)
        return read(self.interface, program_id, kind, account)

    async def submit(self, instructions: Sequence[Instruction], signers: Sequence[tuple[Address, Sign]]) -> bytes:
        """Send a transaction that the first signer pays for, and wait until it is finalized; its signature. Raises WalletError."""
        blockhash = await self.ask(GetBlockhash())
        assert isinstance(blockhash, Blockhash)
        raw, signature = signed(instructions, signers[0][0], blockhash.hash, signers)
        sent_s = float("-inf")
        while True:
            if system_now().monotonic_s - sent_s >= RESEND_S:
                sent_s = system_now().monotonic_s
                sent = await self.ask(SendTransactions((raw,)))
                assert isinstance(sent, Sendings)
                self._check(sent.found[0], signers[0][0])
            answer = await self.ask(GetStatuses((signature,)))
            assert isinstance(answer, Statuses)
            status = answer.found[0]
            if status is not None and status.error is not None:
                self._check(status.error, signers[0][0])
            if status is not None and status.finalized:
                return signature
            height = await self.ask(GetHeight())
            assert isinstance(height, int)
            if height > blockhash.last_valid_height:
                raise WalletError(
                    "the transaction did not land before its blockhash expired; nothing happened: try again"
                )
            await asyncio.sleep(POLL_S)

    def _check(self, answer: Sent | Refused | None, payer: Address) -> None:
        if isinstance(answer, Refused) and answer.name != "AlreadyProcessed":
            failure = explain(self.interface, answer)
            hint = f"; the fee payer is {payer}" if failure.cause.value == "payer" else ""
            raise WalletError(f"the chain refused it: {failure.words}{hint}")
