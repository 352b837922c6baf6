//! Chain time (Unix seconds) and message time (a message_id is µs since the epoch).

use crate::error::{require, Error};
use crate::state::{Market, Trade};

/// A day, s.
pub const DAY: i64 = 86_400;
/// How far ahead of the chain's clock a message may be stamped, s: clocks drift, the chain's own included.
pub const MAX_AHEAD: i64 = 60;
/// How long the arbiter has, s; then the battery is paid.
pub const ARBITER_TIME: i64 = 14 * DAY;

const MICROSECONDS: u64 = 1_000_000;

/// Second at which a message was stamped.
pub fn stamped(message_id: u64) -> i64 {
    // At most 1.8e13: always a positive i64.
    (message_id / MICROSECONDS) as i64
}

/// Refuses messages that are too old or from the future.
pub fn require_settleable(stamped: i64, now: i64, market: &Market) -> Result<(), Error> {
    require(stamped <= now + MAX_AHEAD, Error::MessageTooNew)?;
    let oldest = (now - market.settle_window as i64).max(market.settles_from);
    require(stamped >= oldest, Error::MessageTooOld)
}

/// When a trade's account may go: by then its record no longer settles, whatever `set_market` does to the window
/// later (see `settles_from`).
pub fn closes_at(trade: &Trade, market: &Market) -> i64 {
    stamped(trade.message_id) + market.settle_window as i64 + market.dispute_window as i64 + DAY
}
