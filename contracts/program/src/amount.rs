//! What a trade costs.

use crate::error::{require, Error};

/// The highest price, µ/kWh: the protocol's 10 000 c/kWh.
pub const MAX_PRICE: u32 = 100_000_000;
/// The most energy, Wh: the protocol's 10⁶ kWh.
pub const MAX_ENERGY_WH: u32 = 1_000_000_000;
/// The highest fee, in ten-thousandths.
pub const MAX_FEE_BPS: u16 = 100;

const WH_PER_KWH: u64 = 1_000;
const BPS: u64 = 10_000;

// The bounds that make the unchecked products below safe (this backend has no checked ones).
const MAX_AMOUNT: u64 = MAX_PRICE as u64 * MAX_ENERGY_WH as u64 / WH_PER_KWH;
const _: () = assert!((MAX_PRICE as u64).checked_mul(MAX_ENERGY_WH as u64).is_some());
const _: () = assert!(MAX_AMOUNT.checked_mul(MAX_FEE_BPS as u64).is_some());

/// µ for `energy_wh` at `price` µ/kWh, rounded half to even (docs/settlement.md).
///
/// `PriceOutOfRange` or `EnergyOutOfRange` beyond the protocol's bounds.
pub fn amount(price: u32, energy_wh: u32) -> Result<u64, Error> {
    require(price <= MAX_PRICE, Error::PriceOutOfRange)?;
    require(energy_wh <= MAX_ENERGY_WH, Error::EnergyOutOfRange)?;
    let scaled = (price as u64).wrapping_mul(energy_wh as u64);
    let (whole, rest) = (scaled / WH_PER_KWH, scaled % WH_PER_KWH);
    let odd = whole & 1;
    Ok(whole + (rest + odd > WH_PER_KWH / 2) as u64)
}

/// The part of an `amount` of above that the market keeps, rounded down.
pub fn fee(amount: u64, fee_bps: u16) -> Result<u64, Error> {
    require(amount <= MAX_AMOUNT, Error::Overflow)?;
    require(fee_bps <= MAX_FEE_BPS, Error::FeeTooHigh)?;
    Ok(amount.wrapping_mul(fee_bps as u64) / BPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_goes_to_the_even_neighbour() {
        for (price, energy_wh, expected) in [
            (1, 499, 0),
            (1, 500, 0),
            (1, 501, 1),
            (1, 1_499, 1),
            (1, 1_500, 2),
            (1, 2_500, 2),
            (1, 2_501, 3),
            (1, 3_500, 4),
            (0, 1_000, 0),
            (250_000, 4_000, 1_000_000),
            (MAX_PRICE, MAX_ENERGY_WH, 100_000_000_000_000),
        ] {
            assert_eq!(amount(price, energy_wh), Ok(expected), "{price} µ/kWh x {energy_wh} Wh");
        }
    }

    #[test]
    fn it_equals_the_rule_in_wide_integers() {
        let mut state = 1u64;
        for _ in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let price = (state >> 32) as u32 % (MAX_PRICE + 1);
            let energy_wh = state as u32 % (MAX_ENERGY_WH + 1);
            let scaled = price as u128 * energy_wh as u128;
            let (whole, rest) = (scaled / 1_000, scaled % 1_000);
            let up = rest > 500 || rest == 500 && whole % 2 == 1;
            assert_eq!(amount(price, energy_wh), Ok((whole + up as u128) as u64));
        }
    }

    #[test]
    fn prices_and_energies_beyond_the_protocol_are_refused() {
        assert_eq!(amount(MAX_PRICE + 1, 1), Err(Error::PriceOutOfRange));
        assert_eq!(amount(1, MAX_ENERGY_WH + 1), Err(Error::EnergyOutOfRange));
        assert_eq!(amount(u32::MAX, u32::MAX), Err(Error::PriceOutOfRange));
    }

    #[test]
    fn the_fee_is_rounded_down() {
        assert_eq!(fee(9_999, 1), Ok(0));
        assert_eq!(fee(10_000, 1), Ok(1));
        assert_eq!(fee(MAX_AMOUNT, MAX_FEE_BPS), Ok(MAX_AMOUNT / 100));
        assert_eq!(fee(MAX_AMOUNT + 1, 1), Err(Error::Overflow));
        assert_eq!(fee(1, MAX_FEE_BPS + 1), Err(Error::FeeTooHigh));
    }
}
