//! Events in the transaction's log.

use crate::layout::Layout;

const MAX_EVENT: usize = 256;

/// Says an event, as `Program data:` with its discriminator.
#[inline(never)]
pub fn emit<E: Layout>(event: &E) {
    const { assert!(E::SIZE <= MAX_EVENT) };
    let mut buffer = [0; MAX_EVENT];
    let data = &mut buffer[..E::SIZE];
    event.put(data);
    let fields: &[&[u8]] = &[data];
    // SAFETY: a slice of slices is laid out as the syscall reads it, (address, length) each.
    unsafe { pinocchio::syscalls::sol_log_data(fields.as_ptr().cast(), fields.len() as u64) };
}
