//! An aggregator's vault and the two accounts that are paid from it.

use pinocchio::cpi::Signer;
use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address};

use crate::error::{require, Error};
use crate::pda::{associated, Seeds};
use crate::state::{subtract, Escrow, Market, Participant, Trade};
use crate::token::{require_mint, require_owner, Currency, Move};

/// Refuses a vault that is not the Escrow's. Another token account of the same owner is no vault: what is in it is
/// not in the Escrow's books.
pub fn require_vault(vault: &AccountView, escrow: &Address, mint: &Address) -> Result<(), ProgramError> {
    require(associated(escrow, mint)? == *vault.address(), Error::WrongVault)?;
    require_owner(vault, mint, escrow)
}

/// Moves tokens out of a vault, signed by its Escrow.
#[inline(always)] // this backend passes five arguments at most
pub fn pay_out(
    currency: &Currency,
    vault: &Vault,
    escrow: &Escrow,
    to: &AccountView,
    amount: u64,
) -> Result<(), ProgramError> {
    let device_id = escrow.device_id.to_le_bytes();
    let bump = [escrow.bump];
    let seeds = Seeds::escrow(&escrow.market, &device_id);
    let signed = seeds.signed_with(&bump);
    let from = vault.tokens;
    currency.transfer(&Move { from, to, authority: vault.escrow, amount }, &[Signer::from(&signed)])
}

/// The account of an Escrow and of its tokens.
pub struct Vault<'a> {
    pub escrow: &'a AccountView,
    pub tokens: &'a AccountView,
}

/// The accounts of a payment, in the order of the IDL (`escrow` to `fee_account`, then the mint and its program).
pub struct Till<'a> {
    pub vault: Vault<'a>,
    pub payout: &'a AccountView,
    pub fee_account: &'a AccountView,
    pub mint: &'a AccountView,
    pub token_program: &'a AccountView,
}

/// A payment: whom it goes to, and for what.
pub struct Due<'a> {
    pub battery: &'a Participant,
    pub trade: &'a Trade,
}

impl<'a> Till<'a> {
    /// Verifies all of them for a payment to `battery`, but whose the payout is by now: a battery that gave it away
    /// must not keep the arbiter from giving the buyer its money back. See `require_payable`.
    #[inline(never)]
    pub fn open(&self, market: &Market, battery: &Participant) -> Result<Currency<'a>, ProgramError> {
        let currency = Currency::new(self.mint, &market.mint, self.token_program)?;
        require_vault(self.vault.tokens, self.vault.escrow.address(), &market.mint)?;
        require(associated(&battery.authority, &market.mint)? == *self.payout.address(), Error::WrongPayout)?;
        require(market.fee_account == *self.fee_account.address(), Error::WrongFeeAccount)?;
        Ok(currency)
    }

    /// Refuses a payout that the battery has given away: the owner of a token account can be changed, its address
    /// stays.
    pub fn require_payable(&self, currency: &Currency, battery: &Participant) -> Result<(), ProgramError> {
        require_owner(self.payout, currency.address(), &battery.authority)
    }

    /// Pays the battery the trade's amount less the fee, and the market its fee.
    #[inline(never)]
    pub fn pay(&self, currency: &Currency, escrow: &Escrow, due: &Due) -> Result<(), ProgramError> {
        let Due { battery, trade } = due;
        self.require_payable(currency, battery)?;
        if trade.fee > 0 {
            require_mint(self.fee_account, currency.address())?;
        }
        pay_out(currency, &self.vault, escrow, self.payout, subtract(trade.amount, trade.fee)?)?;
        pay_out(currency, &self.vault, escrow, self.fee_account, trade.fee)
    }
}
