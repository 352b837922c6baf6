//! `dispute` and `close_trade`, and what the instructions about a trade that exists have in common.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load, load_of, load_role, require_signer, store};
use crate::args;
use crate::clock::now;
use crate::error::{require, Error};
use crate::event::{Closed, Disputed};
use crate::log::emit;
use crate::state::{add, count, role, status, subtract, Escrow, Market, Participant, Trade};
use crate::time::closes_at;

/// A trade and its two sides.
pub struct Parties {
    pub battery: Participant,
    pub aggregator: Participant,
    pub trade: Trade,
}

impl Parties {
    /// Reads the three accounts and checks that they belong together.
    #[inline(always)] // this backend passes five arguments at most
    pub fn load(
        program: &Address,
        market: &AccountView,
        battery: &AccountView,
        aggregator: &AccountView,
        trade: &AccountView,
    ) -> Result<Self, ProgramError> {
        let trade: Trade = load_of(program, trade, market)?;
        let battery = load_role(program, battery, market, role::BATTERY)?;
        let aggregator = load_role(program, aggregator, market, role::AGGREGATOR)?;
        require(battery.device_id == trade.battery, Error::WrongDevice)?;
        require(aggregator.device_id == trade.aggregator, Error::WrongDevice)?;
        Ok(Self { battery, aggregator, trade })
    }

    /// Makes the held money available to the buyer again, which counts as lost for the battery.
    pub fn give_back(&mut self, escrow: &mut Escrow) -> Result<(), Error> {
        self.trade.status = status::REFUNDED;
        escrow.held = subtract(escrow.held, self.trade.amount)?;
        escrow.available = add(escrow.available, self.trade.amount)?;
        count(&mut self.battery.lost)
    }
}

/// Stops a release; the buyer's right as long as the money is held.
pub fn dispute(program: &Address, accounts: &[AccountView], _: &args::Dispute) -> ProgramResult {
    let [authority, market, battery_participant, aggregator_participant, trade_account] = distinct(accounts)?;
    require_signer(authority)?;
    load::<Market>(program, market)?;
    let mut parties = Parties::load(program, market, battery_participant, aggregator_participant, trade_account)?;
    let Parties { battery, aggregator, trade } = &mut parties;
    require(aggregator.authority == *authority.address(), Error::WrongAuthority)?;
    require(trade.status == status::HELD, Error::WrongStatus)?;
    let now = now()?;
    require(now < trade.release_at, Error::DisputeTooLate)?;

    trade.status = status::DISPUTED;
    trade.disputed_at = now;
    count(&mut battery.disputed)?;
    count(&mut aggregator.disputed)?;
    store(battery_participant, battery)?;
    store(aggregator_participant, aggregator)?;
    store(trade_account, trade)?;
    emit(&Disputed {
        market: trade.market,
        battery: trade.battery,
        lot_id: trade.lot_id,
        aggregator: trade.aggregator,
        amount: trade.amount,
        disputed_at: now,
    });
    Ok(())
}

/// Gives the rent of a finished trade back to whoever paid it, once its record can no longer settle.
pub fn close(program: &Address, accounts: &[AccountView], _: &args::CloseTrade) -> ProgramResult {
    let [market_account, account, payer] = distinct(accounts)?;
    let market: Market = load(program, market_account)?;
    let trade: Trade = load_of(program, account, market_account)?;
    require(matches!(trade.status, status::PAID | status::REFUNDED | status::DEFAULTED), Error::WrongStatus)?;
    require(now()? >= closes_at(&trade, &market), Error::CloseTooEarly)?;
    require(trade.payer == *payer.address(), Error::WrongPayer)?;
    require(account.is_writable() && payer.is_writable(), Error::NotWritable)?;

    let (mut account, mut payer) = (*account, *payer);
    payer.set_lamports(add(payer.lamports(), account.lamports())?);
    account.close()?;
    emit(&Closed { market: trade.market, battery: trade.battery, lot_id: trade.lot_id, aggregator: trade.aggregator });
    Ok(())
}
