//! `release` and `resolve`: held money goes to the battery, or on the arbiter's word to one of the two.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load, require_signer, store};
use crate::args;
use crate::clock::now;
use crate::error::{require, Error};
use crate::event::{Released, Resolved};
use crate::instructions::escrow::load_escrow;
use crate::instructions::trade::Parties;
use crate::log::emit;
use crate::state::{count, status, subtract, Escrow, Market};
use crate::till::{Due, Till, Vault};
use crate::time::ARBITER_TIME;
use crate::token::Currency;

/// The accounts that both take.
struct Accounts<'a> {
    market: &'a AccountView,
    battery_participant: &'a AccountView,
    aggregator_participant: &'a AccountView,
    trade: &'a AccountView,
    till: Till<'a>,
}

/// A held trade with all that its end changes.
struct Held<'a> {
    parties: Parties,
    escrow: Escrow,
    arbiter: Address,
    currency: Currency<'a>,
}

impl<'a> Accounts<'a> {
    fn new(accounts: &'a [AccountView]) -> Result<Self, Error> {
        #[rustfmt::skip]
        let [
            market, battery_participant, aggregator_participant, escrow, vault, payout, fee_account,
            trade, mint, token_program,
        ] = distinct(accounts)?;
        let till = Till { vault: Vault { escrow, tokens: vault }, payout, fee_account, mint, token_program };
        Ok(Self { market, battery_participant, aggregator_participant, trade, till })
    }

    #[inline(never)]
    fn load(&self, program: &Address) -> Result<Held<'a>, ProgramError> {
        let market: Market = load(program, self.market)?;
        let parties =
            Parties::load(program, self.market, self.battery_participant, self.aggregator_participant, self.trade)?;
        let escrow = load_escrow(program, self.till.vault.escrow, self.market, &parties.aggregator)?;
        let currency = self.till.open(&market, &parties.battery)?;
        Ok(Held { parties, escrow, arbiter: market.arbiter, currency })
    }

    #[inline(never)]
    fn store(&self, held: &Held) -> Result<(), ProgramError> {
        store(self.battery_participant, &held.parties.battery)?;
        store(self.aggregator_participant, &held.parties.aggregator)?;
        store(self.till.vault.escrow, &held.escrow)?;
        store(self.trade, &held.parties.trade)
    }

    /// Pays the battery.
    #[inline(never)]
    fn pay(&self, held: &mut Held) -> Result<(), ProgramError> {
        let Parties { battery, aggregator, trade } = &mut held.parties;
        trade.status = status::PAID;
        count(&mut battery.settled)?;
        count(&mut aggregator.settled)?;
        held.escrow.held = subtract(held.escrow.held, trade.amount)?;
        self.till.pay(&held.currency, &held.escrow, &Due { battery, trade })
    }
}

/// Pays the battery once the time for disputes, or the arbiter's, is over.
pub fn release(program: &Address, accounts: &[AccountView], _: &args::Release) -> ProgramResult {
    let accounts = Accounts::new(accounts)?;
    let mut held = accounts.load(program)?;
    let trade = &held.parties.trade;
    let due = match trade.status {
        status::HELD => trade.release_at,
        status::DISPUTED => trade.disputed_at + ARBITER_TIME,
        _ => return Err(Error::WrongStatus.into()),
    };
    require(now()? >= due, Error::ReleaseTooEarly)?;

    accounts.pay(&mut held)?;
    accounts.store(&held)?;
    let trade = &held.parties.trade;
    emit(&Released {
        market: trade.market,
        battery: trade.battery,
        lot_id: trade.lot_id,
        aggregator: trade.aggregator,
        amount: trade.amount,
        fee: trade.fee,
    });
    Ok(())
}

/// Does what the arbiter says.
pub fn resolve(program: &Address, accounts: &[AccountView], args: &args::Resolve) -> ProgramResult {
    let (arbiter, others) = accounts.split_first().ok_or(Error::MissingAccount)?;
    let accounts = Accounts::new(others)?;
    require_signer(arbiter)?;
    let mut held = accounts.load(program)?;
    require(held.arbiter == *arbiter.address(), Error::WrongArbiter)?;
    require(held.parties.trade.status == status::DISPUTED, Error::WrongStatus)?;

    if args.to_battery {
        count(&mut held.parties.aggregator.lost)?;
        accounts.pay(&mut held)?;
    } else {
        held.parties.give_back(&mut held.escrow)?;
    }
    accounts.store(&held)?;
    let trade = &held.parties.trade;
    emit(&Resolved {
        market: trade.market,
        battery: trade.battery,
        lot_id: trade.lot_id,
        aggregator: trade.aggregator,
        amount: trade.amount,
        to_battery: args.to_battery,
    });
    Ok(())
}
