//! The four accounts. Seeds are in `pda`; times are Unix seconds, amounts the mint's smallest unit.

use pinocchio::Address;

use crate::error::{require, Error};
use crate::layout;

layout! {
    /// A market and its rules.
    Market = "account:Market" {
        bump: u8,
        network_id: [u8; 32],
        admin: Address,
        arbiter: Address,
        mint: Address,
        fee_account: Address,
        fee_bps: u16,
        min_amount: u64,
        dispute_window: u32,
        settle_window: u32,
        withdraw_delay: u32,
        paused_at: i64,
        settles_from: i64,
    }

    /// A device of a market; its key for ever.
    Participant = "account:Participant" {
        bump: u8,
        market: Address,
        device_id: u64,
        authority: Address,
        role: u8,
        revoked_at: i64,
        settled: u64,
        defaulted: u64,
        disputed: u64,
        lost: u64,
    }

    /// An aggregator's money: `available` for new trades, `held` for those that may be disputed yet.
    Escrow = "account:Escrow" {
        bump: u8,
        market: Address,
        device_id: u64,
        available: u64,
        held: u64,
        withdrawal_amount: u64,
        withdrawal_since: i64,
    }

    /// One lot's trade.
    Trade = "account:Trade" {
        bump: u8,
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        message_id: u64,
        energy_wh: u32,
        price: u32,
        amount: u64,
        fee: u64,
        status: u8,
        release_at: i64,
        disputed_at: i64,
        payer: Address,
        record_hash: [u8; 32],
    }
}

/// `Participant.role`.
pub mod role {
    pub const BATTERY: u8 = 1;
    pub const AGGREGATOR: u8 = 2;
}

/// `Trade.status`.
pub mod status {
    pub const HELD: u8 = 1;
    pub const PAID: u8 = 2;
    pub const DEFAULTED: u8 = 3;
    pub const REFUNDED: u8 = 4;
    pub const DISPUTED: u8 = 5;
}

impl Market {
    /// Refuses what a paused market does not take; `stamped` is when it was asked.
    pub fn require_open(&self, stamped: i64) -> Result<(), Error> {
        require(self.paused_at == 0 || stamped < self.paused_at, Error::Paused)
    }
}

impl Participant {
    /// Refuses messages from the revocation on.
    pub fn require_valid(&self, stamped: i64) -> Result<(), Error> {
        require(self.revoked_at == 0 || stamped < self.revoked_at, Error::Revoked)
    }
}

/// Raises a reputation counter.
pub fn count(counter: &mut u64) -> Result<(), Error> {
    *counter = add(*counter, 1)?;
    Ok(())
}

/// A sum, or `Overflow`.
pub fn add(one: u64, other: u64) -> Result<u64, Error> {
    one.checked_add(other).ok_or(Error::Overflow)
}

/// A difference, or `Overflow`.
pub fn subtract(from: u64, what: u64) -> Result<u64, Error> {
    from.checked_sub(what).ok_or(Error::Overflow)
}
