"""The faucet's transactions: SOL, and test USDC into the owner's associated token account. Ordinary ones, signed by the faucet's key."""

from typing import Final

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.token import ID as TOKEN_PROGRAM
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction
from spl.token.instructions import (
    MintToCheckedParams,
    create_idempotent_associated_token_account,
    mint_to_checked,
)

from contracts.devnet.tokens import USDC_DECIMALS

MEMO_PROGRAM: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


class Faucet:
    """Makes transactions; `serial` tells two equal wishes apart, which else would be one transaction."""

    def __init__(self, key: Keypair, mint: Pubkey) -> None:
        self._key, self._mint = key, mint

    @property
    def address(self) -> Pubkey:
        """Who pays."""
        return self._key.pubkey()

    def lamports(self, owner: Pubkey, lamports: int, blockhash: Hash, serial: int) -> VersionedTransaction:
        """Lamports for an address."""
        wish = transfer(TransferParams(from_pubkey=self.address, to_pubkey=owner, lamports=lamports))
        return self._signed([wish], blockhash, serial)

    def usdc(self, owner: Pubkey, amount_micro: int, blockhash: Hash, serial: int) -> VersionedTransaction:
        """Test USDC, µ, for an owner; the token account is made where there is none."""
        wish = mint_to_checked(
            MintToCheckedParams(
                program_id=TOKEN_PROGRAM,
                mint=self._mint,
                dest=get_associated_token_address(owner, self._mint),
                mint_authority=self.address,
                amount=amount_micro,
                decimals=USDC_DECIMALS,
            )
        )
        account = create_idempotent_associated_token_account(self.address, owner, self._mint)
        return self._signed([account, wish], blockhash, serial)

    def _signed(self, instructions: list[Instruction], blockhash: Hash, serial: int) -> VersionedTransaction:
        memo = Instruction(
            MEMO_PROGRAM, b"faucet %d" % serial, [AccountMeta(self.address, is_signer=True, is_writable=True)]
        )
        message = Message.new_with_blockhash([*instructions, memo], self.address, blockhash)
        return VersionedTransaction(message, [self._key])
