//! Bounds of a market's rules (docs/settlement.md).

use crate::amount::MAX_FEE_BPS;
use crate::error::{require, Error};
use crate::time::DAY;

/// The part of a market's rules that has bounds; windows and delay in seconds.
pub struct Rules {
    pub fee_bps: u16,
    pub settle_window: u32,
    pub withdraw_delay: u32,
}

impl Rules {
    /// Refuses rules out of bounds: fee up to 1 %, settle_window 1 to 30 days, and money that stays a day longer
    /// than any Confirm that it has to pay.
    pub fn check(&self) -> Result<(), Error> {
        let window = self.settle_window as i64;
        require(self.fee_bps <= MAX_FEE_BPS, Error::FeeTooHigh)?;
        require((DAY..=30 * DAY).contains(&window), Error::SettleWindowOutOfBounds)?;
        require(self.withdraw_delay as i64 >= window + DAY, Error::WithdrawDelayTooShort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u32 = DAY as u32;

    fn check(fee_bps: u16, settle_window: u32, withdraw_delay: u32) -> Result<(), Error> {
        Rules { fee_bps, settle_window, withdraw_delay }.check()
    }

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!(check(100, DAY_S, 2 * DAY_S), Ok(()));
        assert_eq!(check(0, 30 * DAY_S, 31 * DAY_S), Ok(()));
        assert_eq!(check(0, 30 * DAY_S, u32::MAX), Ok(()));
        assert_eq!(check(101, DAY_S, 2 * DAY_S), Err(Error::FeeTooHigh));
        assert_eq!(check(0, DAY_S - 1, 9 * DAY_S), Err(Error::SettleWindowOutOfBounds));
        assert_eq!(check(0, 30 * DAY_S + 1, 60 * DAY_S), Err(Error::SettleWindowOutOfBounds));
        assert_eq!(check(0, u32::MAX, u32::MAX), Err(Error::SettleWindowOutOfBounds));
        assert_eq!(check(0, DAY_S, 2 * DAY_S - 1), Err(Error::WithdrawDelayTooShort));
    }
}
