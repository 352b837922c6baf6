//! Making accounts.

use pinocchio::cpi::Signer;
use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address};
use pinocchio_system::instructions::{Allocate, Assign, Transfer};

use crate::error::{require, Error};
use crate::pda::Seeds;
use crate::rent::minimum_balance;

/// Makes the account that stands at `seeds`, `payer` paying what is missing of its rent. Returns the bump.
///
/// Whoever knows the address may have sent lamports to it, and the runtime's one-step creation then refuses; hence
/// transfer, allocate, assign. `AlreadyExists` where the account is ours: nothing is ever made twice.
#[inline(never)]
pub fn create(
    program: &Address,
    account: &AccountView,
    seeds: &Seeds,
    payer: &AccountView,
    size: usize,
) -> Result<u8, ProgramError> {
    require(!account.owned_by(program), Error::AlreadyExists)?;
    require(account.is_writable() && payer.is_writable(), Error::NotWritable)?;
    let bump = seeds.bump_of(account.address(), program)?;
    let missing = minimum_balance(size)?.saturating_sub(account.lamports());
    if missing > 0 {
        Transfer { from: payer, to: account, lamports: missing }.invoke()?;
    }
    let bump_seed = [bump];
    let signed = seeds.signed_with(&bump_seed);
    let signers = [Signer::from(&signed)];
    Allocate { account, space: size as u64 }.invoke_signed(&signers)?;
    Assign { account, owner: program }.invoke_signed(&signers)?;
    Ok(bump)
}
