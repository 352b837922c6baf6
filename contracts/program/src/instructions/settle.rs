//! `settle` and `record_default`: a Confirm is presented, and its buyer pays or is known not to.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load, load_of, load_role, require_program, require_signer, store};
use crate::amount::{amount, fee};
use crate::args;
use crate::clock::now;
use crate::create::create;
use crate::error::{require, Error};
use crate::event::{Defaulted, Settled};
use crate::instructions::escrow::load_escrow;
use crate::introspection::signed_record;
use crate::layout::Layout;
use crate::log::emit;
use crate::pda::Seeds;
use crate::record::{kind, Record};
use crate::state::{add, count, role, status, subtract, Escrow, Market, Participant, Trade};
use crate::till::{Due, Till, Vault};
use crate::time::{require_settleable, stamped};

/// The accounts that say who trades with whom, and the instruction that says what.
struct Presented<'a> {
    battery: &'a AccountView,
    market: &'a AccountView,
    battery_participant: &'a AccountView,
    aggregator_participant: &'a AccountView,
    instructions: &'a AccountView,
}

/// A Confirm that may be settled now.
struct Deal {
    market: Market,
    battery: Participant,
    aggregator: Participant,
    record: Record,
    amount: u64,
    fee: u64,
    now: i64,
}

/// Judges the Confirm that the battery presents.
#[inline(never)]
fn judge(program: &Address, presented: &Presented) -> Result<Deal, ProgramError> {
    require_signer(presented.battery)?;
    let market: Market = load(program, presented.market)?;
    let battery = load_role(program, presented.battery_participant, presented.market, role::BATTERY)?;
    let aggregator = load_role(program, presented.aggregator_participant, presented.market, role::AGGREGATOR)?;
    require(battery.authority == *presented.battery.address(), Error::WrongAuthority)?;
    // `register` gives a key one id, so this never happens; were it otherwise, a reputation could be made at no cost.
    require(battery.authority != aggregator.authority, Error::SelfTrade)?;

    let record = signed_record(presented.instructions)?;
    record.require(kind::CONFIRM, &market.network_id)?;
    record.require_between(aggregator.authority.as_array(), aggregator.device_id, battery.authority.as_array())?;
    require(record.lot_id != 0, Error::WrongLot)?;

    let (stamped, now) = (stamped(record.message_id), now()?);
    require_settleable(stamped, now, &market)?;
    market.require_open(stamped)?;
    battery.require_valid(stamped)?;
    aggregator.require_valid(stamped)?;

    let amount = amount(record.price, record.energy_wh)?;
    require(amount > 0 && amount >= market.min_amount, Error::AmountTooSmall)?;
    let fee = fee(amount, market.fee_bps)?;
    Ok(Deal { market, battery, aggregator, record, amount, fee, now })
}

/// Settles a Confirm: the money is held until disputes are over, or paid at once where there are none.
pub fn settle(program: &Address, accounts: &[AccountView], _: &args::Settle) -> ProgramResult {
    #[rustfmt::skip]
    let [
        battery, market, battery_participant, aggregator_participant, escrow_account, vault, payout, fee_account,
        trade_account, mint, token_program, system_program, instructions,
    ] = distinct(accounts)?;
    require_program(system_program, &pinocchio_system::ID)?;
    let presented = Presented { battery, market, battery_participant, aggregator_participant, instructions };
    let mut deal = judge(program, &presented)?;
    // Before its vault, which is not there either where nothing was ever put aside: that is the buyer's default.
    let mut escrow = load_if_made(program, escrow_account, market, &deal.aggregator)?.ok_or(Error::EscrowTooShort)?;
    let till =
        Till { vault: Vault { escrow: escrow_account, tokens: vault }, payout, fee_account, mint, token_program };
    let currency = till.open(&deal.market, &deal.battery)?;
    till.require_payable(&currency, &deal.battery)?; // nobody's money is held for what could not be paid
    let mut trade = trade_to_settle(program, trade_account, &presented, &deal)?;
    require(escrow.available >= deal.amount, Error::EscrowTooShort)?;

    escrow.available = subtract(escrow.available, deal.amount)?;
    trade.release_at = deal.now + deal.market.dispute_window as i64;
    if deal.market.dispute_window == 0 {
        trade.status = status::PAID;
        count(&mut deal.battery.settled)?;
        count(&mut deal.aggregator.settled)?;
        store(battery_participant, &deal.battery)?;
        store(aggregator_participant, &deal.aggregator)?;
        till.pay(&currency, &escrow, &Due { battery: &deal.battery, trade: &trade })?;
    } else {
        trade.status = status::HELD;
        escrow.held = add(escrow.held, deal.amount)?;
    }
    store(escrow_account, &escrow)?;
    store(trade_account, &trade)?;
    emit(&Settled {
        market: trade.market,
        battery: trade.battery,
        lot_id: trade.lot_id,
        aggregator: trade.aggregator,
        amount: trade.amount,
        fee: trade.fee,
        status: trade.status,
    });
    Ok(())
}

/// Records, once for a lot, that the buyer's escrow does not cover what it confirmed. A later `settle` still pays.
pub fn record_default(program: &Address, accounts: &[AccountView], _: &args::RecordDefault) -> ProgramResult {
    #[rustfmt::skip]
    let [
        battery, market, battery_participant, aggregator_participant, escrow,
        trade_account, system_program, instructions,
    ] = distinct(accounts)?;
    require_program(system_program, &pinocchio_system::ID)?;
    let presented = Presented { battery, market, battery_participant, aggregator_participant, instructions };
    let mut deal = judge(program, &presented)?;
    let available = load_if_made(program, escrow, market, &deal.aggregator)?.map_or(0, |escrow| escrow.available);
    require(available < deal.amount, Error::EscrowCanPay)?;

    let trade = Trade { status: status::DEFAULTED, ..new_trade(program, trade_account, &presented, &deal)? };
    count(&mut deal.aggregator.defaulted)?;
    store(aggregator_participant, &deal.aggregator)?;
    store(trade_account, &trade)?;
    emit(&Defaulted {
        market: trade.market,
        battery: trade.battery,
        lot_id: trade.lot_id,
        aggregator: trade.aggregator,
        amount: trade.amount,
        available,
    });
    Ok(())
}

/// Reads the aggregator's Escrow; None where it has never been made, as of a buyer that never paid in.
#[inline(never)]
fn load_if_made(
    program: &Address,
    account: &AccountView,
    market: &AccountView,
    aggregator: &Participant,
) -> Result<Option<Escrow>, ProgramError> {
    if account.owned_by(program) {
        return load_escrow(program, account, market, aggregator).map(Some);
    }
    let device_id = aggregator.device_id.to_le_bytes();
    Seeds::escrow(market.address(), &device_id).bump_of(account.address(), program)?;
    Ok(None)
}

/// The lot's trade: a new one, or the recorded default of this very record.
#[inline(never)]
fn trade_to_settle(
    program: &Address,
    account: &AccountView,
    presented: &Presented,
    deal: &Deal,
) -> Result<Trade, ProgramError> {
    if !account.owned_by(program) {
        return new_trade(program, account, presented, deal);
    }
    let trade: Trade = load_of(program, account, presented.market)?;
    let of_lot = trade.battery == deal.battery.device_id && trade.lot_id == deal.record.lot_id;
    require(of_lot, Error::WrongAddress)?;
    require(trade.status == status::DEFAULTED, Error::AlreadySettled)?;
    require(trade.record_hash == deal.record.hash, Error::OtherRecord)?;
    Ok(Trade { fee: deal.fee, ..trade }) // the fee of today
}

#[inline(never)]
fn new_trade(
    program: &Address,
    account: &AccountView,
    presented: &Presented,
    deal: &Deal,
) -> Result<Trade, ProgramError> {
    let (battery, lot_id) = (deal.battery.device_id, deal.record.lot_id);
    let (battery_seed, lot_seed) = (battery.to_le_bytes(), lot_id.to_le_bytes());
    let seeds = Seeds::trade(presented.market.address(), &battery_seed, &lot_seed);
    let bump = create(program, account, &seeds, presented.battery, Trade::SIZE)?;
    Ok(Trade {
        bump,
        market: *presented.market.address(),
        battery,
        lot_id,
        aggregator: deal.aggregator.device_id,
        message_id: deal.record.message_id,
        energy_wh: deal.record.energy_wh,
        price: deal.record.price,
        amount: deal.amount,
        fee: deal.fee,
        status: 0, // the caller's to say
        release_at: 0,
        disputed_at: 0,
        payer: *presented.battery.address(),
        record_hash: deal.record.hash,
    })
}
