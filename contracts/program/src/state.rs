//! The accounts. Seeds are in `pda`; times are Unix seconds, amounts the mint's smallest unit.

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

    /// That a key has its device, and which: one key, one id. With two ids a battery could settle a Confirm twice,
    /// since a Confirm names the battery by its key and a Trade by its id.
    DeviceKey = "account:DeviceKey" {
        bump: u8,
        market: Address,
        device_id: u64,
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

    /// Pauses from `now` on, or ends the pause; one that is on goes on since when it did.
    pub fn pause(&mut self, paused: bool, now: i64) {
        self.paused_at = match (paused, self.paused_at) {
            (false, _) => 0,
            (true, 0) => now,
            (true, since) => since,
        };
    }

    /// Keeps what was too old for a settle_window of `old_window` s from ever settling, whatever the window is from
    /// now on: the Trade that proves that it did settle may have been closed meanwhile.
    pub fn settle_from(&mut self, now: i64, old_window: u32) {
        self.settles_from = self.settles_from.max(now - old_window as i64);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::zeroed;

    #[test]
    fn a_pause_refuses_what_comes_from_then_on() {
        let mut market: Market = zeroed();
        assert_eq!(market.require_open(i64::MAX), Ok(()));
        market.pause(true, 100);
        market.pause(true, 200);
        assert_eq!(market.paused_at, 100);
        assert_eq!(market.require_open(99), Ok(()));
        assert_eq!(market.require_open(100), Err(Error::Paused));
        market.pause(false, 300);
        assert_eq!(market.require_open(100), Ok(()));
    }

    #[test]
    fn settles_from_never_falls() {
        let mut market: Market = zeroed();
        market.settle_from(1_000, 100);
        market.settle_from(1_001, 900);
        assert_eq!(market.settles_from, 900);
        market.settle_from(1_100, 100);
        assert_eq!(market.settles_from, 1_000);
    }

    #[test]
    fn sums_and_counters_do_not_wrap() {
        assert_eq!(add(u64::MAX, 1), Err(Error::Overflow));
        assert_eq!(subtract(1, 2), Err(Error::Overflow));
        let mut counter = u64::MAX;
        assert_eq!(count(&mut counter), Err(Error::Overflow));
    }
}
