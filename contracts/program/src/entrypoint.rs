//! Where the runtime enters: which instruction it is, and whose turn.

use pinocchio::{AccountView, Address, ProgramResult};

use crate::args::*;
use crate::error::Error;
use crate::instructions::{escrow, market, participant, refund, release, settle, trade};
use crate::layout::{Layout, DISCRIMINATOR_SIZE};

/// The longest list of accounts is settle's, 13.
const MAX_ACCOUNTS: usize = 16;

pinocchio::program_entrypoint!(process, MAX_ACCOUNTS);

fn process(program: &Address, accounts: &mut [AccountView], data: &[u8]) -> ProgramResult {
    let (first, rest) = data.split_first_chunk::<DISCRIMINATOR_SIZE>().ok_or(Error::UnknownInstruction)?;
    match *first {
        OpenMarket::DISCRIMINATOR => market::open(program, accounts, &OpenMarket::take(rest)?),
        SetMarket::DISCRIMINATOR => market::set(program, accounts, &SetMarket::take(rest)?),
        Register::DISCRIMINATOR => participant::register(program, accounts, &Register::take(rest)?),
        Revoke::DISCRIMINATOR => participant::revoke(program, accounts, &Revoke::take(rest)?),
        Deposit::DISCRIMINATOR => escrow::deposit(program, accounts, &Deposit::take(rest)?),
        RequestWithdraw::DISCRIMINATOR => escrow::request_withdraw(program, accounts, &RequestWithdraw::take(rest)?),
        Withdraw::DISCRIMINATOR => escrow::withdraw(program, accounts, &Withdraw::take(rest)?),
        Settle::DISCRIMINATOR => settle::settle(program, accounts, &Settle::take(rest)?),
        RecordDefault::DISCRIMINATOR => settle::record_default(program, accounts, &RecordDefault::take(rest)?),
        Release::DISCRIMINATOR => release::release(program, accounts, &Release::take(rest)?),
        Refund::DISCRIMINATOR => refund::refund(program, accounts, &Refund::take(rest)?),
        Dispute::DISCRIMINATOR => trade::dispute(program, accounts, &Dispute::take(rest)?),
        Resolve::DISCRIMINATOR => release::resolve(program, accounts, &Resolve::take(rest)?),
        CloseTrade::DISCRIMINATOR => trade::close(program, accounts, &CloseTrade::take(rest)?),
        _ => Err(Error::UnknownInstruction.into()),
    }
}

/// Our own bugs end here: an overflow that was thought impossible, an index out of bounds.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    const MESSAGE: &str = "panicked";
    // SAFETY: the address and the length of a constant.
    unsafe {
        pinocchio::syscalls::sol_log_(MESSAGE.as_ptr(), MESSAGE.len() as u64);
        pinocchio::syscalls::abort()
    }
}
