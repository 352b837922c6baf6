//! `refund`: the battery's own Terminate gives the buyer its money back.

use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load, store};
use crate::args;
use crate::error::{require, Error};
use crate::event::Refunded;
use crate::instructions::escrow::load_escrow;
use crate::instructions::trade::Parties;
use crate::introspection::signed_record;
use crate::log::emit;
use crate::record::kind;
use crate::state::{status, Market};

/// `termination_code`: timeout, cannot deliver. With the others a lot was delivered, or a session ended.
const GIVES_UP: [u8; 2] = [1, 2];

/// Gives the money back for a Terminate(1 or 2) of the battery, for this lot and to this buyer. Never for a Reject:
/// whoever wins has often been outbid in the same lot before. When it was stamped does not matter: it is final, so a
/// battery that is revoked later, or signs it before the Confirm settles, has given up the lot all the same.
pub fn refund(program: &Address, accounts: &[AccountView], _: &args::Refund) -> ProgramResult {
    let [market_account, battery_participant, aggregator_participant, escrow_account, trade_account, instructions] =
        distinct(accounts)?;
    let market: Market = load(program, market_account)?;
    let mut parties =
        Parties::load(program, market_account, battery_participant, aggregator_participant, trade_account)?;
    let mut escrow = load_escrow(program, escrow_account, market_account, &parties.aggregator)?;

    let record = signed_record(instructions)?;
    record.require(kind::TERMINATE, &market.network_id)?;
    require(GIVES_UP.contains(&record.termination_code), Error::WrongTermination)?;
    let Parties { battery, aggregator, trade } = &parties;
    record.require_between(battery.authority.as_array(), battery.device_id, aggregator.authority.as_array())?;
    require(record.lot_id == trade.lot_id, Error::WrongLot)?;
    require(matches!(trade.status, status::HELD | status::DISPUTED), Error::WrongStatus)?;

    parties.give_back(&mut escrow)?;
    store(battery_participant, &parties.battery)?;
    store(escrow_account, &escrow)?;
    store(trade_account, &parties.trade)?;
    let trade = &parties.trade;
    emit(&Refunded {
        market: trade.market,
        battery: trade.battery,
        lot_id: trade.lot_id,
        aggregator: trade.aggregator,
        amount: trade.amount,
    });
    Ok(())
}
