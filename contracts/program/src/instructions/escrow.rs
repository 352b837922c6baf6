//! `deposit`, `request_withdraw` and `withdraw`: an aggregator and its money.

use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load, load_of, load_role, require_program, require_signer, store};
use crate::args;
use crate::clock::now;
use crate::create::create;
use crate::error::{require, Error};
use crate::event::{Deposited, WithdrawalRequested, Withdrawn};
use crate::layout::Layout;
use crate::log::emit;
use crate::pda::Seeds;
use crate::state::{add, role, subtract, Escrow, Market, Participant};
use crate::till::{pay_out, require_vault, Vault};
use crate::token::{require_owner, Currency, Move};

/// Moves tokens into the vault, from a token account of the aggregator's key.
pub fn deposit(program: &Address, accounts: &[AccountView], args: &args::Deposit) -> ProgramResult {
    let [authority, market_account, participant, account, vault, source, mint, token_program, system_program] =
        distinct(accounts)?;
    require_program(system_program, &pinocchio_system::ID)?;
    let market: Market = load(program, market_account)?;
    market.require_open(now()?)?;
    let aggregator = load_as_aggregator(program, market_account, participant, authority)?;
    let currency = Currency::new(mint, &market.mint, token_program)?;
    require_vault(vault, account.address(), &market.mint)?;
    require_owner(source, &market.mint, authority.address())?;
    require(args.amount > 0, Error::ZeroAmount)?;

    let mut escrow = load_or_create(program, account, market_account, &aggregator, authority)?;
    escrow.available = add(escrow.available, args.amount)?;
    currency.transfer(&Move { from: source, to: vault, authority, amount: args.amount }, &[])?;
    store(account, &escrow)?;
    emit(&Deposited {
        market: escrow.market,
        device_id: escrow.device_id,
        amount: args.amount,
        available: escrow.available,
    });
    Ok(())
}

/// Starts the delay after which money may leave. It is longer than any Confirm may take to settle that was signed
/// before; who trades later looks at what was asked for, and counts it as gone.
pub fn request_withdraw(program: &Address, accounts: &[AccountView], args: &args::RequestWithdraw) -> ProgramResult {
    let [authority, market, participant, account] = distinct(accounts)?;
    load::<Market>(program, market)?;
    let aggregator = load_as_aggregator(program, market, participant, authority)?;
    let mut escrow = load_escrow(program, account, market, &aggregator)?;

    escrow.withdrawal_amount = args.amount;
    escrow.withdrawal_since = if args.amount == 0 { 0 } else { now()? };
    store(account, &escrow)?;
    emit(&WithdrawalRequested {
        market: escrow.market,
        device_id: escrow.device_id,
        amount: escrow.withdrawal_amount,
        since: escrow.withdrawal_since,
    });
    Ok(())
}

/// Moves what was asked for, or what is left of it.
pub fn withdraw(program: &Address, accounts: &[AccountView], _: &args::Withdraw) -> ProgramResult {
    let [authority, market_account, participant, account, vault, destination, mint, token_program] =
        distinct(accounts)?;
    let market: Market = load(program, market_account)?;
    let aggregator = load_as_aggregator(program, market_account, participant, authority)?;
    let mut escrow = load_escrow(program, account, market_account, &aggregator)?;
    let currency = Currency::new(mint, &market.mint, token_program)?;
    require_vault(vault, account.address(), &market.mint)?;
    require_owner(destination, &market.mint, authority.address())?;
    require(escrow.withdrawal_amount > 0, Error::NoWithdrawal)?;
    let leaves_at = escrow.withdrawal_since + market.withdraw_delay as i64;
    require(now()? >= leaves_at, Error::WithdrawalTooEarly)?;

    let amount = escrow.withdrawal_amount.min(escrow.available);
    escrow.available = subtract(escrow.available, amount)?;
    escrow.withdrawal_amount = 0;
    escrow.withdrawal_since = 0;
    pay_out(&currency, &Vault { escrow: account, tokens: vault }, &escrow, destination, amount)?;
    store(account, &escrow)?;
    emit(&Withdrawn { market: escrow.market, device_id: escrow.device_id, amount, available: escrow.available });
    Ok(())
}

/// Reads the aggregator's participant; its key has to sign.
fn load_as_aggregator(
    program: &Address,
    market: &AccountView,
    participant: &AccountView,
    authority: &AccountView,
) -> Result<Participant, ProgramError> {
    require_signer(authority)?;
    let aggregator = load_role(program, participant, market, role::AGGREGATOR)?;
    require(aggregator.authority == *authority.address(), Error::WrongAuthority)?;
    Ok(aggregator)
}

/// Reads the Escrow of this aggregator.
pub fn load_escrow(
    program: &Address,
    account: &AccountView,
    market: &AccountView,
    aggregator: &Participant,
) -> Result<Escrow, ProgramError> {
    let escrow: Escrow = load_of(program, account, market)?;
    require(escrow.device_id == aggregator.device_id, Error::WrongAddress)?;
    Ok(escrow)
}

fn load_or_create(
    program: &Address,
    account: &AccountView,
    market: &AccountView,
    aggregator: &Participant,
    payer: &AccountView,
) -> Result<Escrow, ProgramError> {
    if account.owned_by(program) {
        return load_escrow(program, account, market, aggregator);
    }
    let device_id = aggregator.device_id.to_le_bytes();
    let bump = create(program, account, &Seeds::escrow(market.address(), &device_id), payer, Escrow::SIZE)?;
    Ok(Escrow {
        bump,
        market: *market.address(),
        device_id: aggregator.device_id,
        available: 0,
        held: 0,
        withdrawal_amount: 0,
        withdrawal_since: 0,
    })
}
