//! Borsh layouts as tables: one declaration gives a structure, its discriminator, its size, its reader and its writer.

use pinocchio::Address;

use crate::error::{require, Error};
use crate::hash::discriminator;

/// Length of a discriminator.
pub const DISCRIMINATOR_SIZE: usize = 8;

/// A value of one field.
pub trait Field: Sized {
    /// Its type in the IDL.
    const TYPE: &'static str;
    /// Its bytes; of a string, the most.
    const SIZE: usize;

    /// Takes the value off the front. `MalformedInstruction` where the bytes do not hold one.
    fn take(from: &mut &[u8]) -> Result<Self, Error>;

    /// Writes the value into exactly `SIZE` bytes.
    fn put(&self, into: &mut [u8]);
}

/// A discriminator and fields, back to back.
pub trait Layout: Sized {
    /// What the discriminator is the hash of.
    const PREIMAGE: &'static str;
    /// The first 8 bytes.
    const DISCRIMINATOR: [u8; DISCRIMINATOR_SIZE] = discriminator(Self::PREIMAGE);
    /// Bytes with the discriminator.
    const SIZE: usize;
    /// Name and IDL type of each field, in order.
    const FIELDS: &'static [(&'static str, &'static str)];

    /// Reads the fields (without discriminator); they have to use up all bytes.
    fn take(from: &[u8]) -> Result<Self, Error>;

    /// Writes discriminator and fields into exactly `SIZE` bytes.
    fn put(&self, into: &mut [u8]);

    /// Reads discriminator and fields; `WrongDiscriminator` where they are not all there is.
    fn read(data: &[u8]) -> Result<Self, Error> {
        match data.split_first_chunk() {
            Some((first, fields)) if *first == Self::DISCRIMINATOR => {
                Self::take(fields).map_err(|_| Error::WrongDiscriminator)
            }
            _ => Err(Error::WrongDiscriminator),
        }
    }
}

/// Declares a `Layout`: `Name = "preimage" { field: type, ... }`.
#[macro_export]
macro_rules! layout {
    ($($(#[$attribute:meta])* $name:ident = $preimage:literal { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $name {
            $(pub $field: $type),*
        }

        impl $crate::layout::Layout for $name {
            const PREIMAGE: &'static str = $preimage;
            const SIZE: usize =
                $crate::layout::DISCRIMINATOR_SIZE $(+ <$type as $crate::layout::Field>::SIZE)*;
            const FIELDS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), <$type as $crate::layout::Field>::TYPE)),*];

            #[allow(unused_mut)]
            fn take(mut from: &[u8]) -> Result<Self, $crate::error::Error> {
                let value = Self { $($field: $crate::layout::Field::take(&mut from)?),* };
                $crate::error::require(from.is_empty(), $crate::error::Error::MalformedInstruction)?;
                Ok(value)
            }

            fn put(&self, into: &mut [u8]) {
                let (first, rest) = into.split_at_mut($crate::layout::DISCRIMINATOR_SIZE);
                first.copy_from_slice(&Self::DISCRIMINATOR);
                $(
                    let (value, rest) = rest.split_at_mut(<$type as $crate::layout::Field>::SIZE);
                    $crate::layout::Field::put(&self.$field, value);
                )*
                debug_assert!(rest.is_empty());
            }
        }
    )*};
}

/// What all-zero bytes say, for tests that care for a field or two.
#[cfg(test)]
pub fn zeroed<T: Layout>() -> T {
    T::take(&vec![0; T::SIZE - DISCRIMINATOR_SIZE]).unwrap()
}

/// Takes `N` bytes off the front.
fn chunk<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Error> {
    let (first, rest) = from.split_first_chunk::<N>().ok_or(Error::MalformedInstruction)?;
    *from = rest;
    Ok(*first)
}

macro_rules! integers {
    ($($type:ident),*) => {$(
        impl Field for $type {
            const TYPE: &'static str = stringify!($type);
            const SIZE: usize = size_of::<$type>();

            fn take(from: &mut &[u8]) -> Result<Self, Error> {
                chunk(from).map($type::from_le_bytes)
            }

            fn put(&self, into: &mut [u8]) {
                into.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i64);

impl Field for bool {
    const TYPE: &'static str = "bool";
    const SIZE: usize = 1;

    fn take(from: &mut &[u8]) -> Result<Self, Error> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::MalformedInstruction),
        }
    }

    fn put(&self, into: &mut [u8]) {
        into[0] = *self as u8;
    }
}

impl Field for [u8; 32] {
    const TYPE: &'static str = "[u8; 32]";
    const SIZE: usize = 32;

    fn take(from: &mut &[u8]) -> Result<Self, Error> {
        chunk(from)
    }

    fn put(&self, into: &mut [u8]) {
        into.copy_from_slice(self);
    }
}

impl Field for Address {
    const TYPE: &'static str = "publicKey";
    const SIZE: usize = 32;

    fn take(from: &mut &[u8]) -> Result<Self, Error> {
        chunk(from).map(Address::new_from_array)
    }

    fn put(&self, into: &mut [u8]) {
        into.copy_from_slice(self.as_array());
    }
}

/// The most bytes of a market's name.
pub const MAX_NAME: usize = 32;

/// A market's name: 1 to 32 bytes of UTF-8.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Name {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Field for Name {
    const TYPE: &'static str = "string";
    const SIZE: usize = size_of::<u32>() + MAX_NAME;

    fn take(from: &mut &[u8]) -> Result<Self, Error> {
        let length = u32::take(from)? as usize;
        require((1..=MAX_NAME).contains(&length), Error::WrongName)?;
        let (name, rest) = from.split_at_checked(length).ok_or(Error::MalformedInstruction)?;
        *from = rest;
        core::str::from_utf8(name).map_err(|_| Error::WrongName)?;
        let mut bytes = [0; MAX_NAME];
        bytes[..length].copy_from_slice(name);
        Ok(Self { bytes, length })
    }

    fn put(&self, into: &mut [u8]) {
        let (length, name) = into.split_at_mut(size_of::<u32>());
        length.copy_from_slice(&(self.length as u32).to_le_bytes());
        name.copy_from_slice(&self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    layout! {
        Sample = "account:Sample" { flag: bool, small: u16, large: u64, signed: i64, key: Address }
    }

    fn sample() -> Sample {
        Sample { flag: true, small: 0x0102, large: 3, signed: -1, key: Address::new_from_array([7; 32]) }
    }

    #[test]
    fn fields_are_little_endian_and_back_to_back() {
        let mut bytes = [0xaa; Sample::SIZE];
        sample().put(&mut bytes);
        assert_eq!(Sample::SIZE, 8 + 1 + 2 + 8 + 8 + 32);
        assert_eq!(bytes[..8], Sample::DISCRIMINATOR);
        assert_eq!(bytes[8..11], [1, 2, 1]);
        assert_eq!(bytes[19..27], [0xff; 8]);
        assert_eq!(Sample::read(&bytes), Ok(sample()));
    }

    #[test]
    fn every_other_length_and_kind_is_refused() {
        let mut bytes = [0; Sample::SIZE + 1];
        sample().put(&mut bytes[..Sample::SIZE]);
        for length in (0..=bytes.len()).filter(|length| *length != Sample::SIZE) {
            assert_eq!(Sample::read(&bytes[..length]), Err(Error::WrongDiscriminator), "{length}");
        }
        for index in 0..DISCRIMINATOR_SIZE {
            bytes[index] ^= 1;
            assert_eq!(Sample::read(&bytes[..Sample::SIZE]), Err(Error::WrongDiscriminator));
            bytes[index] ^= 1;
        }
    }

    #[test]
    fn a_bool_is_0_or_1() {
        assert_eq!(bool::take(&mut &[2u8][..]), Err(Error::MalformedInstruction));
    }

    #[test]
    fn a_name_is_1_to_32_bytes_of_utf8() {
        let name = |length: u32, bytes: &[u8]| {
            let data = [&length.to_le_bytes(), bytes].concat();
            Name::take(&mut &data[..]).map(|name| name.as_bytes().to_vec())
        };
        assert_eq!(name(4, "µ€".as_bytes()), Err(Error::WrongName)); // cut within a character
        assert_eq!(name(5, "µ€".as_bytes()), Ok("µ€".as_bytes().to_vec()));
        assert_eq!(name(32, &[b'a'; 32]), Ok(vec![b'a'; 32]));
        assert_eq!(name(33, &[b'a'; 33]), Err(Error::WrongName));
        assert_eq!(name(0, b""), Err(Error::WrongName));
        assert_eq!(name(u32::MAX, b"a"), Err(Error::WrongName));
        assert_eq!(name(2, b"a"), Err(Error::MalformedInstruction));
    }
}
