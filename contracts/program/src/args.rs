//! The instructions: the discriminator and the arguments of each.

use pinocchio::Address;

use crate::layout;
use crate::layout::Name;

layout! {
    OpenMarket = "global:open_market" {
        genesis_hash: [u8; 32],
        name: Name,
        network_id: [u8; 32],
        arbiter: Address,
        fee_bps: u16,
        min_amount: u64,
        dispute_window: u32,
        settle_window: u32,
        withdraw_delay: u32,
    }

    SetMarket = "global:set_market" {
        arbiter: Address,
        fee_bps: u16,
        min_amount: u64,
        dispute_window: u32,
        settle_window: u32,
        withdraw_delay: u32,
        paused: bool,
    }

    Register = "global:register" { device_id: u64, role: u8 }
    Revoke = "global:revoke" {}
    Deposit = "global:deposit" { amount: u64 }
    RequestWithdraw = "global:request_withdraw" { amount: u64 }
    Withdraw = "global:withdraw" {}
    Settle = "global:settle" {}
    RecordDefault = "global:record_default" {}
    Release = "global:release" {}
    Refund = "global:refund" {}
    Dispute = "global:dispute" {}
    Resolve = "global:resolve" { to_battery: bool }
    CloseTrade = "global:close_trade" {}
}
