//! The settlement program of the Energy Trading Protocol: a trade is paid from the very message that made it.
//!
//! Rules: docs/settlement.md. Anchor's conventions (discriminators, Borsh, errors from 6000, events in the log), so
//! that its tools read accounts and events with `contracts/idl/etp_settlement.json`.
//!
//! Two halves. What decides is pure and builds anywhere (`cargo test`): `layout`, `state`, `args`, `event`, `error`,
//! `rules`, `amount`, `time`, `record`, `key`, `hash`. What touches accounts and syscalls exists on the chain only and
//! is tested there (tests/contracts/program): `account`, `create`, `pda`, `rent`, `token`, `till`, `clock`,
//! `introspection`, `instructions`, `entrypoint`.
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod amount;
pub mod args;
pub mod error;
pub mod event;
pub mod hash;
pub mod key;
pub mod layout;
pub mod record;
pub mod rules;
pub mod state;
pub mod time;

#[cfg(target_arch = "bpf")]
mod account;
#[cfg(target_arch = "bpf")]
mod clock;
#[cfg(target_arch = "bpf")]
mod create;
#[cfg(target_arch = "bpf")]
mod entrypoint;
#[cfg(target_arch = "bpf")]
mod instructions;
#[cfg(target_arch = "bpf")]
mod introspection;
#[cfg(target_arch = "bpf")]
mod log;
#[cfg(target_arch = "bpf")]
mod pda;
#[cfg(target_arch = "bpf")]
mod rent;
#[cfg(target_arch = "bpf")]
mod till;
#[cfg(target_arch = "bpf")]
mod token;

#[cfg(test)]
mod idl_drift;
