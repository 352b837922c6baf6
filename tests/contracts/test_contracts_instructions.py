"""Addresses, instructions and transactions: literal layouts, the IDL's accounts, sizes, and what is refused."""

from hashlib import sha256

import pytest
from solders.pubkey import Pubkey

from contracts.accounts import Escrow, Market, Participant, ParticipantRole, Trade, TradeStatus, decode, read
from contracts.addresses import PROGRAM_ID, AddressError, Place, network_id, parse_address, token_account
from contracts.errors import AccountError, InterfaceError, TransactionError
from contracts.instructions import ED25519_PROGRAM, PRECOMPILE_HEAD, Instructions, Parties, Terms, precompile
from contracts.interface import Interface
from contracts.io.idl import IDL_FILE
from contracts.outbox import Act
from contracts.program_errors import PROGRAM, Cause, explain
from contracts.rpc import Account, Blockhash, Refused
from contracts.transactions import MAX_TRANSACTION, Signer, parsed, signed
from etp.record import is_signed_by
from tests.contracts.fake_chain import (
    ADMIN,
    BATTERY,
    BATTERY_ID,
    BUYER,
    BUYER_ID,
    GENESIS,
    INTERFACE,
    MINT,
    PLACE,
    confirm,
    entry,
    escrow_data,
    market_data,
    participant_data,
    trade_data,
    trade_of,
)  # fmt: skip

MAKE = Instructions(INTERFACE, PLACE)
MARKET = decode(INTERFACE, Market, market_data(60))
PARTIES = Parties(Pubkey(BATTERY.public), BATTERY_ID, BUYER_ID, 7)
TERMS = Terms(Pubkey(ADMIN.public), 10, 1, 60, 7 * 86_400, 8 * 86_400)


def test_the_network_id_is_the_hash_of_what_makes_a_market() -> None:
    plain = b"ETP-NET-v1\0" + GENESIS + bytes(PROGRAM_ID) + ADMIN.public + b"street"
    assert network_id(GENESIS, PROGRAM_ID, Pubkey(ADMIN.public), "street") == sha256(plain).digest()
    assert bytes(PROGRAM_ID) == sha256(b"etp-settlement").digest()


@pytest.mark.parametrize("name", ["", "x" * 33, "é" * 17])
def test_a_name_of_another_length_is_refused(name: str) -> None:
    with pytest.raises(AddressError, match="1 to 32 bytes"):
        network_id(GENESIS, PROGRAM_ID, Pubkey(ADMIN.public), name)


def test_addresses_are_the_programs() -> None:
    seeds = [b"trade", bytes(PLACE.market), (101).to_bytes(8, "little"), (2**64 - 1).to_bytes(8, "little")]
    assert PLACE.trade(101, 2**64 - 1) == Pubkey.find_program_address(seeds, PROGRAM_ID)[0]
    assert PLACE.market == Pubkey.find_program_address([b"market", PLACE.network_id], PROGRAM_ID)[0]
    assert PLACE.escrow(500) != PLACE.participant(500)
    for wrong in (-1, 2**64):
        with pytest.raises(AddressError, match="lot_id"):
            PLACE.trade(101, wrong)
    with pytest.raises(AddressError, match="--mint is 'x'"):
        parse_address("--mint", "x")


def test_the_precompile_has_the_one_canonical_layout() -> None:
    """303 bytes: two, seven offsets, key, signature, the 191 signed bytes."""
    record = confirm(7)
    made = precompile(record, PLACE.network_id, BUYER.public)
    assert made.program_id == ED25519_PROGRAM
    assert len(made.data) == 303
    assert made.data[:16] == bytes.fromhex("01003000ffff1000ffff7000bf00ffff") == PRECOMPILE_HEAD
    assert made.data[16:48] == BUYER.public
    assert made.data[48:112] == record[148:]
    assert made.data[112:] == b"ETP-SIG-v1\0" + PLACE.network_id + record[:148]
    assert is_signed_by(BUYER.public, PLACE.network_id, record)


@pytest.mark.parametrize(
    ("record", "network", "key"),
    [(b"x", bytes(32), bytes(32)), (bytes(212), b"", bytes(32)), (bytes(212), bytes(32), b"")],
)
def test_wrong_lengths_make_no_precompile(record: bytes, network: bytes, key: bytes) -> None:
    with pytest.raises(TransactionError, match="expected"):
        precompile(record, network, key)


def test_every_instruction_is_made_as_the_idl_says() -> None:
    """All 14: anchorpy encodes them, and the discriminator is the name's."""
    admin, buyer = Pubkey(ADMIN.public), Pubkey(BUYER.public)
    made = {
        "open_market": MAKE.open_market(admin, "test", MINT, MINT, TERMS),
        "set_market": MAKE.set_market(admin, MINT, TERMS, paused=True),
        "register": MAKE.register(admin, buyer, BUYER_ID, ParticipantRole.AGGREGATOR),
        "revoke": MAKE.revoke(admin, BUYER_ID),
        "deposit": MAKE.deposit(buyer, BUYER_ID, MINT, token_account(buyer, MINT), 5),
        "request_withdraw": MAKE.request_withdraw(buyer, BUYER_ID, 5),
        "withdraw": MAKE.withdraw(buyer, BUYER_ID, MINT, token_account(buyer, MINT)),
        "settle": MAKE.settle(PARTIES, MARKET),
        "record_default": MAKE.record_default(PARTIES),
        "release": MAKE.release(PARTIES, MARKET),
        "refund": MAKE.refund(PARTIES),
        "dispute": MAKE.dispute(buyer, PARTIES),
        "resolve": MAKE.resolve(admin, PARTIES, MARKET, to_battery=True),
        "close_trade": MAKE.close_trade(buyer, BATTERY_ID, 7),
    }
    for name, instruction in made.items():
        assert instruction.data[:8] == sha256(f"global:{name}".encode()).digest()[:8]
        assert instruction.program_id == PROGRAM_ID
        assert PLACE.market in [meta.pubkey for meta in instruction.accounts]
    assert made["deposit"].data[8:] == (5).to_bytes(8, "little")
    assert made["settle"].accounts[0].is_signer
    assert made["settle"].accounts[8].pubkey == PLACE.trade(BATTERY_ID, 7)


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("act", Act)
def test_a_settlement_fits_one_packet_and_is_signed(act: Act, create: bool) -> None:
    signer = Signer(MAKE, Pubkey(BATTERY.public), BATTERY_ID, BATTERY.sign, unit_price=1_000)
    made = signer.attempt(
        act, PARTIES, market=MARKET, record=confirm(7), buyer_key=BUYER.public,
        blockhash=Blockhash(bytes([3] * 32), 99), create_payout=create,
    )  # fmt: skip
    assert len(made.raw) <= MAX_TRANSACTION
    transaction = parsed(made.raw)
    transaction.verify()
    assert bytes(transaction.signatures[0]) == made.signature
    assert bytes(transaction.message.recent_blockhash) == bytes([3] * 32)
    assert made.last_valid_height == 99
    if act is not Act.RELEASE:  # the program looks at the instruction right before its own
        before = transaction.message.instructions[-2]
        assert transaction.message.account_keys[before.program_id_index] == ED25519_PROGRAM


def test_a_missing_signer_and_a_transaction_too_long_are_refused() -> None:
    admin = Pubkey(ADMIN.public)
    both = MAKE.register(admin, Pubkey(BUYER.public), 1, ParticipantRole.BATTERY)
    with pytest.raises(TransactionError, match="signed by"):
        signed([both], admin, bytes(32), [(admin, ADMIN.sign)])
    with pytest.raises(TransactionError, match="at most 1232"):
        signed([precompile(confirm(1), PLACE.network_id, BUYER.public)] * 4, admin, bytes(32), [(admin, ADMIN.sign)])
    with pytest.raises(TransactionError, match="no transaction"):
        parsed(b"\xff\xff")


def test_no_secret_is_shown() -> None:
    signer = Signer(MAKE, Pubkey(BATTERY.public), BATTERY_ID, BATTERY.sign)
    assert BATTERY.seed.hex() not in repr(signer)
    assert "sign" not in repr(signer).replace("Signer", "")


def test_accounts_are_read_by_the_idl() -> None:
    escrow = decode(INTERFACE, Escrow, escrow_data(17))
    assert (escrow.device_id, escrow.available) == (BUYER_ID, 17)
    participant = decode(INTERFACE, Participant, participant_data(5, BUYER.public, 2))
    assert (participant.device_id, participant.authority) == (5, Pubkey(BUYER.public))
    trade = trade_of(entry(3), TradeStatus.HELD)
    assert decode(INTERFACE, Trade, trade_data(trade)) == trade
    assert MARKET.dispute_window == 60


def test_an_account_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(AccountError, match="belongs to"):
        read(INTERFACE, PROGRAM_ID, Escrow, Account(MINT, 1, escrow_data(1), False))
    with pytest.raises(InterfaceError, match="which is no Escrow"):
        decode(INTERFACE, Escrow, b"\0" * len(escrow_data(1)))
    data = bytearray(trade_data(trade_of(entry(3), TradeStatus.HELD)))
    data[8 + 1 + 32 + 32 + 8 + 16] = 9
    with pytest.raises(AccountError, match="status 9"):
        decode(INTERFACE, Trade, bytes(data))
    for length in range(len(data)):
        with pytest.raises(InterfaceError, match="does not match the program"):
            decode(INTERFACE, Trade, bytes(data[:length]))


def test_an_idl_of_another_program_is_refused() -> None:
    text = IDL_FILE.read_text()
    with pytest.raises(InterfaceError, match="the IDL lacks settle"):
        Interface(text.replace('"name": "settle"', '"name": "settled"', 1))
    with pytest.raises(InterfaceError, match="cannot be read"):
        Interface("{}")
    other = Interface(text.replace('"aggregatorParticipant"', '"buyer"'))
    with pytest.raises(InterfaceError, match="this client has"):
        Instructions(other, PLACE).settle(PARTIES, MARKET)


def test_every_error_of_the_program_has_words() -> None:
    names = {name for name, _ in INTERFACE.errors.values()}
    assert set(PROGRAM) <= names, "the table names errors that the IDL lacks"
    for code, (name, words) in INTERFACE.errors.items():
        failure = explain(INTERFACE, Refused("Custom", code, ""))
        assert failure.cause is PROGRAM.get(name, Cause.OPERATOR)
        assert words in failure.words
    assert explain(INTERFACE, Refused("Custom", 1, "")).cause is Cause.PAYER
    assert explain(INTERFACE, Refused("AccountNotFound", None, "")).cause is Cause.PAYER
    assert explain(INTERFACE, Refused("Strange", None, "what it said")).words == "what it said"
    assert Place.named(GENESIS, PROGRAM_ID, Pubkey(ADMIN.public), "test") == PLACE
