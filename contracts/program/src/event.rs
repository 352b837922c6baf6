//! What the program says in the log (`Program data:`), for those who follow it.

use pinocchio::Address;

use crate::layout;

layout! {
    MarketOpened = "event:MarketOpened" {
        market: Address,
        network_id: [u8; 32],
        admin: Address,
        mint: Address,
        fee_account: Address,
        arbiter: Address,
        fee_bps: u16,
        min_amount: u64,
        dispute_window: u32,
        settle_window: u32,
        withdraw_delay: u32,
    }

    MarketSet = "event:MarketSet" {
        market: Address,
        fee_account: Address,
        arbiter: Address,
        fee_bps: u16,
        min_amount: u64,
        dispute_window: u32,
        settle_window: u32,
        withdraw_delay: u32,
        paused_at: i64,
        settles_from: i64,
    }

    Registered = "event:Registered" {
        market: Address,
        device_id: u64,
        authority: Address,
        role: u8,
    }

    Revoked = "event:Revoked" {
        market: Address,
        device_id: u64,
        revoked_at: i64,
    }

    Deposited = "event:Deposited" {
        market: Address,
        device_id: u64,
        amount: u64,
        available: u64,
    }

    WithdrawalRequested = "event:WithdrawalRequested" {
        market: Address,
        device_id: u64,
        amount: u64,
        since: i64,
    }

    Withdrawn = "event:Withdrawn" {
        market: Address,
        device_id: u64,
        amount: u64,
        available: u64,
    }

    Settled = "event:Settled" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        amount: u64,
        fee: u64,
        status: u8,
    }

    Defaulted = "event:Defaulted" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        amount: u64,
        available: u64,
    }

    Released = "event:Released" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        amount: u64,
        fee: u64,
    }

    Refunded = "event:Refunded" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        amount: u64,
    }

    Disputed = "event:Disputed" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        amount: u64,
        disputed_at: i64,
    }

    Resolved = "event:Resolved" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
        amount: u64,
        to_battery: bool,
    }

    Closed = "event:Closed" {
        market: Address,
        battery: u64,
        lot_id: u64,
        aggregator: u64,
    }
}
