//! Accounts that were passed, each of them hostile until it has shown what it is.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address};

use crate::error::{require, Error};
use crate::layout::Layout;
use crate::pda::Placed;
use crate::state::{Escrow, Market, Participant, Trade};

/// The first `N` accounts, no two of them the same. Two views of one account would each miss what the other writes.
pub fn distinct<const N: usize>(accounts: &[AccountView]) -> Result<&[AccountView; N], Error> {
    let accounts = accounts.first_chunk().ok_or(Error::MissingAccount)?;
    require_distinct(accounts)?;
    Ok(accounts)
}

#[inline(never)]
fn require_distinct(accounts: &[AccountView]) -> Result<(), Error> {
    let mut rest = accounts;
    while let Some((first, others)) = rest.split_first() {
        // The runtime passes a repeated account as a reference to the first one.
        require(others.iter().all(|other| other.account_ptr() != first.account_ptr()), Error::DuplicateAccount)?;
        rest = others;
    }
    Ok(())
}

/// Refuses an account that has not signed.
pub fn require_signer(account: &AccountView) -> Result<(), Error> {
    require(account.is_signer(), Error::MissingSignature)
}

/// Refuses an account that is another than the program expected.
pub fn require_program(account: &AccountView, program: &Address) -> Result<(), Error> {
    require(account.address() == program, Error::WrongProgram)
}

/// Reads an account of ours: owner, discriminator and address are checked.
#[inline(never)]
pub fn load<T: Layout + Placed>(program: &Address, account: &AccountView) -> Result<T, ProgramError> {
    require(account.owned_by(program), Error::WrongOwner)?;
    let value = T::read(&account.try_borrow()?)?;
    require(value.address(program) == *account.address(), Error::WrongAddress)?;
    Ok(value)
}

/// What belongs to a market.
pub trait OfMarket: Layout + Placed {
    fn market(&self) -> &Address;
}

macro_rules! of_market {
    ($($name:ident),*) => {$(
        impl OfMarket for $name {
            fn market(&self) -> &Address {
                &self.market
            }
        }
    )*};
}

of_market!(Participant, Escrow, Trade);

/// Reads an account of ours that has to belong to `market`.
pub fn load_of<T: OfMarket>(program: &Address, account: &AccountView, market: &AccountView) -> Result<T, ProgramError> {
    let value: T = load(program, account)?;
    require(value.market() == market.address(), Error::WrongMarket)?;
    Ok(value)
}

/// Reads a participant of `market` that has to have this role.
pub fn load_role(
    program: &Address,
    account: &AccountView,
    market: &AccountView,
    role: u8,
) -> Result<Participant, ProgramError> {
    let participant: Participant = load_of(program, account, market)?;
    require(participant.role == role, Error::WrongRole)?;
    Ok(participant)
}

/// Reads the market, for its admin only.
pub fn load_as_admin(program: &Address, market: &AccountView, admin: &AccountView) -> Result<Market, ProgramError> {
    require_signer(admin)?;
    let market: Market = load(program, market)?;
    require(market.admin == *admin.address(), Error::WrongAdmin)?;
    Ok(market)
}

/// Writes an account of ours that was loaded or made before.
#[inline(never)]
pub fn store<T: Layout>(account: &AccountView, value: &T) -> Result<(), ProgramError> {
    require(account.is_writable(), Error::NotWritable)?;
    let mut account = *account;
    value.put(&mut account.try_borrow_mut()?);
    Ok(())
}
