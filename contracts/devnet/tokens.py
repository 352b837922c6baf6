"""SPL token accounts and mints, read from their bytes; the test USDC's mint, written (SPL Token: Account, Mint)."""

from typing import Final, NamedTuple

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token.state import Mint, TokenAccount

USDC_DECIMALS: Final = 6
ACCOUNT_SIZE: Final = 165
MINT_SIZE: Final = 82


class TokenBalance(NamedTuple):
    """What one token account of a transaction held."""

    place: int
    """Of the account in the transaction."""
    mint: Pubkey
    owner: Pubkey
    amount: int


def mint_account(authority: Pubkey) -> bytes:
    """The bytes of the test USDC's mint: 6 decimals, nobody can freeze."""
    return bytes(Mint(mint_authority=authority, supply=0, decimals=USDC_DECIMALS, is_initialized=True))


def token_balance(index: int, account: Account) -> TokenBalance | None:
    """What an account of the token program holds; None where it is no token account."""
    held = read_token_account(account)
    return TokenBalance(index, held.mint, held.owner, held.amount) if held else None


def read_token_account(account: Account) -> TokenAccount | None:
    """A token account that is in use, or None."""
    if len(account.data) != ACCOUNT_SIZE:
        return None
    try:
        return TokenAccount.from_bytes(account.data)
    except ValueError:
        return None


def decimals_of(mint: Account | None) -> int | None:
    """Decimals of a mint, or None where it is none."""
    if mint is None or len(mint.data) != MINT_SIZE:
        return None
    try:
        return Mint.from_bytes(mint.data).decimals
    except ValueError:
        return None


def amount_json(amount: int, decimals: int) -> dict[str, object]:
    """An amount as a node tells it. `uiAmount` is the node's own float; whoever computes uses `amount`."""
    digits = str(amount).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    text = f"{whole}.{fraction}" if fraction else whole
    return {"amount": str(amount), "decimals": decimals, "uiAmount": amount / 10**decimals, "uiAmountString": text}
