//! One module for each instruction, or for two that share their rules. Accounts come in the order of the IDL.

pub mod escrow;
pub mod market;
pub mod participant;
pub mod refund;
pub mod release;
pub mod settle;
pub mod trade;
