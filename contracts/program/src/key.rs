//! Ed25519 public keys that no device may have.

/// The prime 2^255 - 19, little-endian: from here on a coordinate is not canonical.
const PRIME: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
};

/// y of the points of order 1, 2, 4, 8 and 8: under such a key one signature fits many messages.
/// The sign bit apart, these are all (RFC 8032, section 5.1: the cofactor is 8).
const SMALL_ORDER: [[u8; 32]; 5] = [
    least(1),
    {
        let mut bytes = PRIME;
        bytes[0] -= 1;
        bytes
    },
    least(0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn least(byte: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = byte;
    bytes
}

/// Whether a key is of small order or not canonically encoded.
pub fn is_weak(key: &[u8; 32]) -> bool {
    let mut y = *key;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y) || y.iter().rev().ge(PRIME.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flipped(mut key: [u8; 32]) -> [u8; 32] {
        key[31] ^= 0x80;
        key
    }

    #[test]
    fn small_orders_are_refused_with_either_sign() {
        for key in SMALL_ORDER {
            assert!(is_weak(&key) && is_weak(&flipped(key)), "{key:02x?}");
        }
    }

    #[test]
    fn coordinates_from_the_prime_on_are_refused() {
        for low in 0xed..=0xff {
            let mut key = PRIME;
            key[0] = low;
            assert!(is_weak(&key) && is_weak(&flipped(key)), "{low:02x}");
        }
    }

    #[test]
    fn other_keys_pass() {
        let mut below = PRIME;
        below[0] = 0xeb; // p - 2
                         // The base point (RFC 8032, section 5.1) and its neighbours in the encoding.
        let mut base = [0x66; 32];
        base[0] = 0x58;
        for key in [below, base, least(2), least(3)] {
            assert!(!is_weak(&key) && !is_weak(&flipped(key)), "{key:02x?}");
        }
    }
}
