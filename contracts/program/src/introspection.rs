//! The instruction before ours in the transaction.

use pinocchio::error::ProgramError;
use pinocchio::sysvars::instructions::{Instructions, INSTRUCTIONS_ID};
use pinocchio::{AccountView, Address};

use crate::error::{require, Error};
use crate::record::Record;

const ED25519: Address = Address::from_str_const("Ed25519SigVerify111111111111111111111111111");

/// The record whose signature the Ed25519 precompile checked in the instruction just before ours.
#[inline(never)]
pub fn signed_record(instructions: &AccountView) -> Result<Record, ProgramError> {
    require(instructions.address() == &INSTRUCTIONS_ID, Error::WrongSysvar)?;
    let instructions = Instructions::try_from(instructions)?;
    let previous = instructions.get_instruction_relative(-1).map_err(|_| Error::NoSignatureInstruction)?;
    require(previous.get_program_id() == &ED25519, Error::NoSignatureInstruction)?;
    Ok(Record::read(previous.get_instruction_data())?)
}
