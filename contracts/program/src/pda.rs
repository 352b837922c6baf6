//! Addresses that nobody has a key of: which seeds they come from, and where the associated token accounts are.

use pinocchio::cpi::Seed;
use pinocchio::Address;

use crate::error::{require, Error};
use crate::hash::sha256;
use crate::state::{Escrow, Market, Participant, Trade};

const MARKER: &[u8] = b"ProgramDerivedAddress";
const ASSOCIATED_TOKEN: Address = Address::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// The parts of an address; those that a kind does not have are empty, which leaves the hash as it is.
pub struct Seeds<'a>([&'a [u8]; 4]);

impl<'a> Seeds<'a> {
    pub fn market(network_id: &'a [u8; 32]) -> Self {
        Self([b"market", network_id, &[], &[]])
    }

    pub fn participant(market: &'a Address, device_id: &'a [u8; 8]) -> Self {
        Self([b"participant", market.as_array(), device_id, &[]])
    }

    pub fn device_key(market: &'a Address, authority: &'a Address) -> Self {
        Self([b"key", market.as_array(), authority.as_array(), &[]])
    }

    pub fn escrow(market: &'a Address, device_id: &'a [u8; 8]) -> Self {
        Self([b"escrow", market.as_array(), device_id, &[]])
    }

    pub fn trade(market: &'a Address, battery: &'a [u8; 8], lot_id: &'a [u8; 8]) -> Self {
        Self([b"trade", market.as_array(), battery, lot_id])
    }

    /// The address with a bump that was found when the account was made; a tenth of the cost of finding it again.
    pub fn at(&self, bump: u8, program: &Address) -> Address {
        let [tag, first, second, third] = self.0;
        Address::new_from_array(sha256(&[tag, first, second, third, &[bump], program.as_array(), MARKER]))
    }

    /// The bump with which these seeds give `address`, or `WrongAddress`.
    pub fn bump_of(&self, address: &Address, program: &Address) -> Result<u8, Error> {
        let (found, bump) = Address::try_find_program_address(&self.0, program).ok_or(Error::WrongAddress)?;
        require(found == *address, Error::WrongAddress)?;
        Ok(bump)
    }

    /// The seeds as the runtime takes them for a signature.
    pub fn signed_with<'b>(&'b self, bump: &'b [u8; 1]) -> [Seed<'b>; 5] {
        let [tag, first, second, third] = self.0;
        [Seed::from(tag), Seed::from(first), Seed::from(second), Seed::from(third), Seed::from(bump)]
    }
}

/// The associated token account of `owner`.
pub fn associated(owner: &Address, mint: &Address) -> Result<Address, Error> {
    let seeds = [owner.as_array().as_slice(), pinocchio_token::ID.as_array(), mint.as_array()];
    let (address, _) = Address::try_find_program_address(&seeds, &ASSOCIATED_TOKEN).ok_or(Error::WrongAddress)?;
    Ok(address)
}

/// An account of ours that knows where it stands.
pub trait Placed {
    /// Its address, from its own content.
    fn address(&self, program: &Address) -> Address;
}

impl Placed for Market {
    fn address(&self, program: &Address) -> Address {
        Seeds::market(&self.network_id).at(self.bump, program)
    }
}

impl Placed for Participant {
    fn address(&self, program: &Address) -> Address {
        Seeds::participant(&self.market, &self.device_id.to_le_bytes()).at(self.bump, program)
    }
}

impl Placed for Escrow {
    fn address(&self, program: &Address) -> Address {
        Seeds::escrow(&self.market, &self.device_id.to_le_bytes()).at(self.bump, program)
    }
}

impl Placed for Trade {
    fn address(&self, program: &Address) -> Address {
        Seeds::trade(&self.market, &self.battery.to_le_bytes(), &self.lot_id.to_le_bytes()).at(self.bump, program)
    }
}
