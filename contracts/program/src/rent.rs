//! What an account has to hold to stay.

use pinocchio::error::ProgramError;
use pinocchio::sysvars::{get_sysvar, rent::RENT_ID};

use crate::error::Error;

/// Bytes that every account is charged for beyond its data.
const OVERHEAD: u64 = 128;
/// Lamports per byte and year (u64), years that make an account exempt (f64).
const SIZE: usize = 16;

/// Lamports that make an account of `size` bytes exempt from rent.
///
/// Clusters differ: the older rule charges two years, the newer one doubles the price and charges one. A library that
/// knows only the newer rule funds half of what an older cluster wants. This backend has no floating point, and the
/// two thresholds are all there are.
pub fn minimum_balance(size: usize) -> Result<u64, ProgramError> {
    let mut rent = [0; SIZE];
    get_sysvar(&mut rent, &RENT_ID, 0)?;
    let (price, threshold) = rent.split_at(SIZE / 2);
    let price = u64::from_le_bytes(price.try_into().map_err(|_| Error::UnknownRentRule)?);
    let threshold = u64::from_le_bytes(threshold.try_into().map_err(|_| Error::UnknownRentRule)?);
    let years = if threshold == 2f64.to_bits() {
        2
    } else if threshold == 1f64.to_bits() {
        1
    } else {
        return Err(Error::UnknownRentRule.into());
    };
    if price > u32::MAX as u64 {
        return Err(Error::UnknownRentRule.into()); // keeps the product below in its field
    }
    Ok((OVERHEAD + size as u64).wrapping_mul(price).wrapping_mul(years))
}
