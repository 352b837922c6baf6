//! SHA-256: by the runtime's syscall on the chain, in constants and on a host in software.

use sha2_const_stable::Sha256;

/// First 8 bytes of SHA-256 of `global:<instruction>`, `account:<Name>` or `event:<Name>`, as Anchor has it.
pub const fn discriminator(preimage: &str) -> [u8; 8] {
    let digest = Sha256::new().update(preimage.as_bytes()).finalize();
    let mut first = [0; 8];
    let mut index = 0;
    while index < first.len() {
        first[index] = digest[index];
        index += 1;
    }
    first
}

/// SHA-256 of the parts, one after the other.
#[cfg(target_arch = "bpf")]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = [0; 32];
    // SAFETY: a slice of slices is laid out as the syscall reads it, (address, length) each.
    unsafe {
        pinocchio::syscalls::sol_sha256(parts.as_ptr().cast(), parts.len() as u64, digest.as_mut_ptr());
    }
    digest
}

/// SHA-256 of the parts, one after the other.
#[cfg(not(target_arch = "bpf"))]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.update(part)).finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_as_one() {
        // FIPS 180-2, appendix B.1: "abc".
        let expected = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(sha256(&[b"a", b"", b"bc"])[..8], expected);
        assert_eq!(discriminator("abc"), expected);
    }
}
