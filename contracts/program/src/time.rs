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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::zeroed;

    const NOW: i64 = 1_800_000_000;

    fn market(settle_window: i64) -> Market {
        Market { settle_window: settle_window as u32, ..zeroed() }
    }

    #[test]
    fn a_message_settles_within_its_window() {
        let market = market(DAY);
        for (age, expected) in [
            (-MAX_AHEAD - 1, Err(Error::MessageTooNew)),
            (-MAX_AHEAD, Ok(())),
            (DAY, Ok(())),
            (DAY + 1, Err(Error::MessageTooOld)),
        ] {
            assert_eq!(require_settleable(NOW - age, NOW, &market), expected, "{age} s old");
        }
    }

    #[test]
    fn nothing_settles_from_before_settles_from() {
        let market = Market { settles_from: NOW - DAY, ..market(30 * DAY) };
        assert_eq!(require_settleable(NOW - DAY, NOW, &market), Ok(()));
        assert_eq!(require_settleable(NOW - DAY - 1, NOW, &market), Err(Error::MessageTooOld));
    }

    #[test]
    fn the_last_microsecond_belongs_to_its_second() {
        assert_eq!(stamped(1_999_999), 1);
        assert_eq!(stamped(2_000_000), 2);
        assert!(stamped(u64::MAX) > 0);
    }

    #[test]
    fn what_may_be_closed_never_settles_again() {
        let windows = [DAY, 7 * DAY, 30 * DAY];
        let trade = Trade { message_id: NOW as u64 * MICROSECONDS, ..zeroed() };
        for (before, after) in windows.iter().flat_map(|before| windows.map(|after| (*before, after))) {
            for dispute_window in [0, 3_600, 10 * DAY as u32] {
                let old = Market { dispute_window, ..market(before) };
                let closed_at = closes_at(&trade, &old);
                assert_eq!(require_settleable(NOW, closed_at, &old), Err(Error::MessageTooOld));
                // The window is changed as soon as the trade is closed.
                let mut new = market(after);
                new.settle_from(closed_at, old.settle_window);
                assert_eq!(require_settleable(NOW, closed_at, &new), Err(Error::MessageTooOld));
            }
        }
    }
}
