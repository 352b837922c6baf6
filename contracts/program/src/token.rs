//! Token accounts and moves, of the SPL Token program only.

use pinocchio::cpi::Signer;
use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address};
use pinocchio_token::instructions::TransferChecked;
use pinocchio_token::state::{Account, Mint};
use pinocchio_token::ID;

use crate::error::{require, Error};

/// Decimals of a mint. `WrongMint` for anything else.
pub fn decimals(mint: &AccountView) -> Result<u8, ProgramError> {
    require(mint.owned_by(&ID) && mint.data_len() == Mint::LEN, Error::WrongMint)?;
    let mint = Mint::from_account_view(mint)?;
    require(mint.is_initialized(), Error::WrongMint)?;
    Ok(mint.decimals())
}

/// Refuses what is not a token account of this mint.
pub fn require_mint(account: &AccountView, mint: &Address) -> Result<(), ProgramError> {
    require(account.owned_by(&ID) && account.data_len() == Account::LEN, Error::WrongTokenAccount)?;
    let account = Account::from_account_view(account)?;
    Ok(require(account.is_initialized() && account.mint() == mint, Error::WrongTokenAccount)?)
}

/// Refuses what is not a token account of this mint and owner.
pub fn require_owner(account: &AccountView, mint: &Address, owner: &Address) -> Result<(), ProgramError> {
    require_mint(account, mint)?;
    let account = Account::from_account_view(account)?;
    Ok(require(account.owner() == owner, Error::WrongTokenAccount)?)
}

/// A mint and the program that moves it, both verified.
pub struct Currency<'a> {
    mint: &'a AccountView,
    decimals: u8,
}

impl<'a> Currency<'a> {
    /// `WrongMint` unless it is the `expected` one, `WrongProgram` for another token program.
    pub fn new(mint: &'a AccountView, expected: &Address, token_program: &AccountView) -> Result<Self, ProgramError> {
        require(token_program.address() == &ID, Error::WrongProgram)?;
        require(mint.address() == expected, Error::WrongMint)?;
        Ok(Self { mint, decimals: decimals(mint)? })
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        self.mint.address()
    }

    /// Moves tokens; nothing where it is 0. The token program's refusal fails the whole transaction.
    #[inline(never)]
    pub fn transfer(&self, tokens: &Move, signers: &[Signer]) -> Result<(), ProgramError> {
        let Move { from, to, authority, amount } = *tokens;
        if amount == 0 {
            return Ok(());
        }
        TransferChecked::new(from, self.mint, to, authority, amount, self.decimals).invoke_signed(signers)
    }
}

/// Tokens from one account to another, by the first one's owner.
pub struct Move<'a> {
    pub from: &'a AccountView,
    pub to: &'a AccountView,
    pub authority: &'a AccountView,
    pub amount: u64,
}
