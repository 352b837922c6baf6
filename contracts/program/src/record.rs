//! The signed record in an instruction of the Ed25519 precompile: the one layout that is taken, and what it says.
//!
//! Whether the signature is right is the precompile's matter: a transaction in which it is not never reaches us.

use crate::error::{require, Error};
use crate::hash::sha256;

/// `message_type` of the two records that the program takes.
pub mod kind {
    pub const CONFIRM: u8 = 5;
    pub const TERMINATE: u8 = 7;
}

const KEY: usize = 16;
const SIGNATURE: usize = 48;
const MESSAGE: usize = 112;
const MESSAGE_SIZE: usize = 191;
/// Bytes of the instruction's data.
pub const SIZE: usize = MESSAGE + MESSAGE_SIZE;

/// One signature; then offset and instruction of signature, key and message (with its size). 0xffff is "this same
/// instruction": with any other the precompile would check bytes that we do not read.
const HEADER: [u8; KEY] = [
    1,
    0, //
    SIGNATURE as u8,
    0,
    0xff,
    0xff, //
    KEY as u8,
    0,
    0xff,
    0xff, //
    MESSAGE as u8,
    0,
    MESSAGE_SIZE as u8,
    0,
    0xff,
    0xff,
];

const DOMAIN: &[u8] = b"ETP-SIG-v1\0";
/// Magic, version 1, algorithm 1 (Ed25519), zero.
const TRAILER: &[u8] = b"ETPS\x01\x01\0\0";

// Offsets in the instruction's data.
const NETWORK: usize = MESSAGE + DOMAIN.len();
const FRAME: usize = NETWORK + 32;
const MESSAGE_ID: usize = FRAME + 1;
const DEVICE_ID: usize = FRAME + 9;
const TERMINATION_CODE: usize = FRAME + 58;
const SIGNED_TRAILER: usize = FRAME + 84;
const LOT_ID: usize = SIGNED_TRAILER + 16;
const PRICE: usize = SIGNED_TRAILER + 24;
const ENERGY_WH: usize = SIGNED_TRAILER + 28;
const RECIPIENT: usize = SIGNED_TRAILER + 32;
const _: () = assert!(RECIPIENT + 32 == SIZE);

/// What a record says, and who signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Public key that the precompile checked the signature against.
    pub signer: [u8; 32],
    /// Network that it was signed for.
    pub network_id: [u8; 32],
    /// `message_type`.
    pub kind: u8,
    /// µs since the epoch.
    pub message_id: u64,
    /// The sender's.
    pub device_id: u64,
    /// `termination_code`.
    pub termination_code: u8,
    /// The seller's number of the lot.
    pub lot_id: u64,
    /// µ/kWh.
    pub price: u32,
    /// Wh.
    pub energy_wh: u32,
    /// Public key of the one that it is addressed to.
    pub recipient: [u8; 32],
    /// SHA-256 of the 212 bytes as they were on the wire.
    pub hash: [u8; 32],
}

impl Record {
    /// Reads the data of an Ed25519 instruction.
    ///
    /// `MalformedSignatureInstruction` for any other layout, `MalformedRecord` for a message that is not a record.
    pub fn read(data: &[u8]) -> Result<Self, Error> {
        let data: &[u8; SIZE] = data.try_into().map_err(|_| Error::MalformedSignatureInstruction)?;
        require(data.starts_with(&HEADER), Error::MalformedSignatureInstruction)?;
        require(data[MESSAGE..].starts_with(DOMAIN), Error::MalformedRecord)?;
        require(data[SIGNED_TRAILER..].starts_with(TRAILER), Error::MalformedRecord)?;
        Ok(Self {
            signer: bytes(data, KEY),
            network_id: bytes(data, NETWORK),
            kind: data[FRAME],
            message_id: u64::from_le_bytes(bytes(data, MESSAGE_ID)),
            device_id: u64::from_le_bytes(bytes(data, DEVICE_ID)),
            termination_code: data[TERMINATION_CODE],
            lot_id: u64::from_le_bytes(bytes(data, LOT_ID)),
            price: u32::from_le_bytes(bytes(data, PRICE)),
            energy_wh: u32::from_le_bytes(bytes(data, ENERGY_WH)),
            recipient: bytes(data, RECIPIENT),
            hash: sha256(&[&data[FRAME..], &data[SIGNATURE..MESSAGE]]),
        })
    }

    /// Refuses a record that is not of this kind, or not signed for this network.
    pub fn require(&self, kind: u8, network_id: &[u8; 32]) -> Result<(), Error> {
        require(self.kind == kind, Error::WrongRecordType)?;
        require(self.network_id == *network_id, Error::WrongNetwork)
    }

    /// Refuses a record that is not from this device (key and id) or not to this one (key).
    pub fn require_between(&self, signer: &[u8; 32], device_id: u64, recipient: &[u8; 32]) -> Result<(), Error> {
        require(self.signer == *signer, Error::WrongSigner)?;
        require(self.device_id == device_id, Error::WrongDevice)?;
        require(self.recipient == *recipient, Error::WrongRecipient)
    }
}

fn bytes<const N: usize>(data: &[u8; SIZE], offset: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&data[offset..offset + N]);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Confirm with every field different, written down by offsets in the message (docs/settlement.md).
    fn sample() -> [u8; SIZE] {
        let mut data = [0; SIZE];
        data[..16].copy_from_slice(&[1, 0, 48, 0, 255, 255, 16, 0, 255, 255, 112, 0, 191, 0, 255, 255]);
        data[16..48].fill(0x11); // key
        data[48..112].fill(0x22); // signature
        let message = &mut data[112..];
        message[..11].copy_from_slice(b"ETP-SIG-v1\0");
        message[11..43].fill(0x33); // network
        let frame = &mut message[43..127];
        frame[0] = 5;
        frame[1..9].copy_from_slice(&1_700_000_000_000_001u64.to_le_bytes());
        frame[9..17].copy_from_slice(&77u64.to_le_bytes());
        frame[58] = 2;
        let trailer = &mut message[127..];
        trailer[..8].copy_from_slice(b"ETPS\x01\x01\x00\x00");
        trailer[8..16].fill(0x44); // counter
        trailer[16..24].copy_from_slice(&88u64.to_le_bytes());
        trailer[24..28].copy_from_slice(&250_000u32.to_le_bytes());
        trailer[28..32].copy_from_slice(&4_000u32.to_le_bytes());
        trailer[32..].fill(0x55); // recipient
        data
    }

    #[test]
    fn each_field_is_read_at_its_place() {
        let data = sample();
        let mut wire = data[112 + 43..].to_vec();
        wire.extend_from_slice(&data[48..112]);
        assert_eq!(wire.len(), 212);
        assert_eq!(
            Record::read(&data),
            Ok(Record {
                signer: [0x11; 32],
                network_id: [0x33; 32],
                kind: 5,
                message_id: 1_700_000_000_000_001,
                device_id: 77,
                termination_code: 2,
                lot_id: 88,
                price: 250_000,
                energy_wh: 4_000,
                recipient: [0x55; 32],
                hash: sha256(&[&wire]),
            })
        );
    }

    #[test]
    fn every_other_length_is_refused() {
        let data = [sample().as_slice(), &[0]].concat();
        for length in (0..=data.len()).filter(|length| *length != SIZE) {
            assert_eq!(Record::read(&data[..length]), Err(Error::MalformedSignatureInstruction), "{length}");
        }
    }

    #[test]
    fn every_bit_of_the_fixed_bytes_counts() {
        let fixed = [(0..16, Error::MalformedSignatureInstruction), (112..123, Error::MalformedRecord)]
            .into_iter()
            .chain([(239..247, Error::MalformedRecord)]);
        for (range, error) in fixed {
            for index in range {
                for bit in 0..8 {
                    let mut data = sample();
                    data[index] ^= 1 << bit;
                    assert_eq!(Record::read(&data), Err(error), "byte {index}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn every_other_bit_changes_what_is_read() {
        let read = Record::read(&sample());
        for index in (16..112).chain(123..239).chain(247..SIZE) {
            let mut data = sample();
            data[index] ^= 1;
            assert_ne!(Record::read(&data), read, "byte {index}");
        }
    }

    #[test]
    fn a_record_binds_kind_network_and_both_parties() {
        let record = Record::read(&sample()).unwrap();
        assert_eq!(record.require(kind::CONFIRM, &[0x33; 32]), Ok(()));
        assert_eq!(record.require(kind::TERMINATE, &[0x33; 32]), Err(Error::WrongRecordType));
        assert_eq!(record.require(kind::CONFIRM, &[0x34; 32]), Err(Error::WrongNetwork));
        assert_eq!(record.require_between(&[0x11; 32], 77, &[0x55; 32]), Ok(()));
        assert_eq!(record.require_between(&[0x12; 32], 77, &[0x55; 32]), Err(Error::WrongSigner));
        assert_eq!(record.require_between(&[0x11; 32], 78, &[0x55; 32]), Err(Error::WrongDevice));
        assert_eq!(record.require_between(&[0x11; 32], 77, &[0x56; 32]), Err(Error::WrongRecipient));
    }
}
