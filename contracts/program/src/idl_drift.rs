//! The hand-kept IDL says what the program does: discriminators, arguments, accounts, events, errors, constants.

use std::collections::HashMap;

use tinyjson::JsonValue;

use crate::error::Error;
use crate::layout::Layout;
use crate::{amount, args, event, state, time};

const IDL: &str = include_str!("../../idl/etp_settlement.json");

type Object = HashMap<String, JsonValue>;

fn idl() -> Object {
    IDL.parse::<JsonValue>().unwrap().try_into().unwrap()
}

fn objects(of: &Object, key: &str) -> Vec<Object> {
    let list: Vec<JsonValue> = of[key].clone().try_into().unwrap();
    list.into_iter().map(|value| value.try_into().unwrap()).collect()
}

fn text(of: &Object, key: &str) -> String {
    of[key].clone().try_into().unwrap()
}

/// camelCase to snake_case.
fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
        text
    })
}

fn fields(of: &Object, key: &str) -> Vec<(String, String)> {
    let type_of = |field: &Object| match &field["type"] {
        JsonValue::String(name) => name.clone(),
        array => {
            assert_eq!(array.stringify().unwrap(), r#"{"array":["u8",32]}"#);
            "[u8; 32]".into()
        }
    };
    objects(of, key).iter().map(|field| (snake(&text(field, "name")), type_of(field))).collect()
}

/// What the program has: preimage of the discriminator, fields.
type Declared = (&'static str, &'static [(&'static str, &'static str)]);

macro_rules! declared {
    ($module:ident: $($name:ident),*) => {
        [$(declared_one::<$module::$name>()),*]
    };
}

fn declared_one<T: Layout>() -> Declared {
    (T::PREIMAGE, T::FIELDS)
}

fn assert_same(listed: Vec<(String, Vec<(String, String)>)>, declared: &[Declared]) {
    assert_eq!(listed.len(), declared.len());
    for ((preimage, listed), (ours, fields)) in listed.iter().zip(declared) {
        assert_eq!(preimage, ours);
        let fields: Vec<_> = fields.iter().map(|(name, kind)| (name.to_string(), kind.to_string())).collect();
        assert_eq!(*listed, fields, "{preimage}");
    }
}

#[test]
fn instructions_agree() {
    let listed = objects(&idl(), "instructions")
        .iter()
        .map(|one| (format!("global:{}", snake(&text(one, "name"))), fields(one, "args")))
        .collect();
    let declared = declared!(args: OpenMarket, SetMarket, Register, Revoke, Deposit, RequestWithdraw, Withdraw, Settle,
        RecordDefault, Release, Refund, Dispute, Resolve, CloseTrade);
    assert_same(listed, &declared);
}

#[test]
fn accounts_agree() {
    let listed = objects(&idl(), "accounts")
        .iter()
        .map(|one| {
            let kind: Object = one["type"].clone().try_into().unwrap();
            (format!("account:{}", text(one, "name")), fields(&kind, "fields"))
        })
        .collect();
    assert_same(listed, &declared!(state: Market, Participant, DeviceKey, Escrow, Trade));
    assert_eq!(state::Market::SIZE, 8 + 1 + 32 * 5 + 2 + 8 + 4 * 3 + 8 * 2);
    assert_eq!(state::Participant::SIZE, 8 + 1 + 32 + 8 + 32 + 1 + 8 * 5);
    assert_eq!(state::DeviceKey::SIZE, 8 + 1 + 32 + 8);
    assert_eq!(state::Escrow::SIZE, 8 + 1 + 32 + 8 * 5);
    assert_eq!(state::Trade::SIZE, 8 + 1 + 32 + 8 * 4 + 4 * 2 + 8 * 2 + 1 + 8 * 2 + 32 * 2);
}

#[test]
fn events_agree() {
    let listed = objects(&idl(), "events")
        .iter()
        .map(|one| (format!("event:{}", text(one, "name")), fields(one, "fields")))
        .collect();
    let declared = declared!(event: MarketOpened, MarketSet, Registered, Revoked, Deposited, WithdrawalRequested,
        Withdrawn, Settled, Defaulted, Released, Refunded, Disputed, Resolved, Closed);
    assert_same(listed, &declared);
}

#[test]
fn errors_agree_and_say_why() {
    let listed = objects(&idl(), "errors");
    assert_eq!(listed.len(), Error::ALL.len());
    for (one, (name, error)) in listed.iter().zip(Error::ALL) {
        let code: f64 = one["code"].clone().try_into().unwrap();
        assert_eq!((text(one, "name").as_str(), code), (*name, error.code() as f64));
        assert!(text(one, "msg").len() > 10, "{name}");
    }
}

#[test]
fn constants_agree() {
    let listed: HashMap<_, _> =
        objects(&idl(), "constants").iter().map(|one| (text(one, "name"), text(one, "value"))).collect();
    let declared = [
        ("ROLE_BATTERY", state::role::BATTERY as i64),
        ("ROLE_AGGREGATOR", state::role::AGGREGATOR as i64),
        ("STATUS_HELD", state::status::HELD as i64),
        ("STATUS_PAID", state::status::PAID as i64),
        ("STATUS_DEFAULTED", state::status::DEFAULTED as i64),
        ("STATUS_REFUNDED", state::status::REFUNDED as i64),
        ("STATUS_DISPUTED", state::status::DISPUTED as i64),
        ("MAX_AHEAD_SECONDS", time::MAX_AHEAD),
        ("ARBITER_SECONDS", time::ARBITER_TIME),
        ("MAX_PRICE", amount::MAX_PRICE as i64),
        ("MAX_ENERGY_WH", amount::MAX_ENERGY_WH as i64),
        ("MAX_FEE_BPS", amount::MAX_FEE_BPS as i64),
    ];
    let declared: HashMap<_, _> = declared.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    assert_eq!(listed, declared);
}
