//! The chain's clock.

use pinocchio::error::ProgramError;
use pinocchio::sysvars::{clock::Clock, Sysvar};

/// Unix seconds. Never 0, which says "not" in `paused_at` and `revoked_at`.
pub fn now() -> Result<i64, ProgramError> {
    Ok(Clock::get()?.unix_timestamp.max(1))
}
