//! `open_market` and `set_market`.

use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load_as_admin, require_program, require_signer, store};
use crate::args::{OpenMarket, SetMarket};
use crate::clock::now;
use crate::create::create;
use crate::error::{require, Error};
use crate::event::{MarketOpened, MarketSet};
use crate::hash::sha256;
use crate::layout::Layout;
use crate::log::emit;
use crate::pda::Seeds;
use crate::rules::Rules;
use crate::state::Market;
use crate::token::{decimals, require_mint};

const NETWORK_DOMAIN: &[u8] = b"ETP-NET-v1\0";

/// Opens a market at the address of its network_id, which binds chain, program, admin and name.
pub fn open(program: &Address, accounts: &[AccountView], args: &OpenMarket) -> ProgramResult {
    let [admin, account, mint, fee_account, system_program] = distinct(accounts)?;
    require_signer(admin)?;
    require_program(system_program, &pinocchio_system::ID)?;
    Rules { fee_bps: args.fee_bps, settle_window: args.settle_window, withdraw_delay: args.withdraw_delay }.check()?;
    decimals(mint)?;
    require_mint(fee_account, mint.address())?;
    let network_id = sha256(&[
        NETWORK_DOMAIN,
        &args.genesis_hash,
        program.as_array(),
        admin.address().as_array(),
        args.name.as_bytes(),
    ]);
    require(network_id == args.network_id, Error::WrongNetworkId)?;

    let bump = create(program, account, &Seeds::market(&network_id), admin, Market::SIZE)?;
    let market = Market {
        bump,
        network_id,
        admin: *admin.address(),
        arbiter: args.arbiter,
        mint: *mint.address(),
        fee_account: *fee_account.address(),
        fee_bps: args.fee_bps,
        min_amount: args.min_amount,
        dispute_window: args.dispute_window,
        settle_window: args.settle_window,
        withdraw_delay: args.withdraw_delay,
        paused_at: 0,
        settles_from: 0,
    };
    store(account, &market)?;
    emit(&MarketOpened {
        market: *account.address(),
        network_id,
        admin: market.admin,
        mint: market.mint,
        fee_account: market.fee_account,
        arbiter: market.arbiter,
        fee_bps: market.fee_bps,
        min_amount: market.min_amount,
        dispute_window: market.dispute_window,
        settle_window: market.settle_window,
        withdraw_delay: market.withdraw_delay,
    });
    Ok(())
}

/// Changes the rules; held trades keep the release_at that they were made with.
pub fn set(program: &Address, accounts: &[AccountView], args: &SetMarket) -> ProgramResult {
    let [admin, account, fee_account] = distinct(accounts)?;
    let mut market = load_as_admin(program, account, admin)?;
    Rules { fee_bps: args.fee_bps, settle_window: args.settle_window, withdraw_delay: args.withdraw_delay }.check()?;
    require_mint(fee_account, &market.mint)?;
    let now = now()?;

    market.settle_from(now, market.settle_window);
    market.pause(args.paused, now);
    market.arbiter = args.arbiter;
    market.fee_account = *fee_account.address();
    market.fee_bps = args.fee_bps;
    market.min_amount = args.min_amount;
    market.dispute_window = args.dispute_window;
    market.settle_window = args.settle_window;
    market.withdraw_delay = args.withdraw_delay;
    store(account, &market)?;
    emit(&MarketSet {
        market: *account.address(),
        fee_account: market.fee_account,
        arbiter: market.arbiter,
        fee_bps: market.fee_bps,
        min_amount: market.min_amount,
        dispute_window: market.dispute_window,
        settle_window: market.settle_window,
        withdraw_delay: market.withdraw_delay,
        paused_at: market.paused_at,
        settles_from: market.settles_from,
    });
    Ok(())
}
