//! `register` and `revoke`.

use pinocchio::{AccountView, Address, ProgramResult};

use crate::account::{distinct, load_as_admin, load_of, require_program, require_signer, store};
use crate::args;
use crate::clock::now;
use crate::create::create;
use crate::error::{require, Error};
use crate::event::{Registered, Revoked};
use crate::key::is_weak;
use crate::layout::Layout;
use crate::log::emit;
use crate::pda::Seeds;
use crate::state::{role, DeviceKey, Participant};

/// Registers a device with its key, which signs as well: nobody registers another's key.
pub fn register(program: &Address, accounts: &[AccountView], args: &args::Register) -> ProgramResult {
    let (admin, others) = accounts.split_first().ok_or(Error::MissingAccount)?; // who may register its own key
    let [authority, market_account, account, key_account, system_program] = distinct(others)?;
    let market = load_as_admin(program, market_account, admin)?;
    require_signer(authority)?;
    require_program(system_program, &pinocchio_system::ID)?;
    market.require_open(now()?)?;
    require(matches!(args.role, role::BATTERY | role::AGGREGATOR), Error::UnknownRole)?;
    require(!is_weak(authority.address().as_array()), Error::WeakKey)?;

    let device_id = args.device_id.to_le_bytes();
    let seeds = Seeds::participant(market_account.address(), &device_id);
    let bump = create(program, account, &seeds, admin, Participant::SIZE)?;
    let participant = Participant {
        bump,
        market: *market_account.address(),
        device_id: args.device_id,
        authority: *authority.address(),
        role: args.role,
        revoked_at: 0,
        settled: 0,
        defaulted: 0,
        disputed: 0,
        lost: 0,
    };
    store(account, &participant)?;
    let seeds = Seeds::device_key(market_account.address(), authority.address());
    let bump = create(program, key_account, &seeds, admin, DeviceKey::SIZE)?;
    store(key_account, &DeviceKey { bump, market: participant.market, device_id: args.device_id })?;
    emit(&Registered {
        market: participant.market,
        device_id: participant.device_id,
        authority: participant.authority,
        role: participant.role,
    });
    Ok(())
}

/// Ends a device's trading; what it traded before still settles.
pub fn revoke(program: &Address, accounts: &[AccountView], _: &args::Revoke) -> ProgramResult {
    let [admin, market, account] = distinct(accounts)?;
    load_as_admin(program, market, admin)?;
    let mut participant: Participant = load_of(program, account, market)?;
    require(participant.revoked_at == 0, Error::AlreadyRevoked)?;

    participant.revoked_at = now()?;
    store(account, &participant)?;
    emit(&Revoked { market: participant.market, device_id: participant.device_id, revoked_at: participant.revoked_at });
    Ok(())
}
