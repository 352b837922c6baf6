"""The local chain under virtual time: commitments, blockhashes, repeats, failures, the faucet, and that a ledger tells it all again."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.rpc.responses import GetTransactionResp
from solders.signature import Signature
from solders.token import ID as TOKEN_PROGRAM
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction

from contracts.addresses import PROGRAM_ID
from contracts.devnet.bank import MAX_BATCH, Bank, Pace
from contracts.devnet.errors import LedgerError, ProgramError, ReplayError
from contracts.devnet.faucet import MEMO_PROGRAM
from contracts.devnet.ledger import Genesis, LineReader, LineWriter, Segment, Transaction
from contracts.devnet.methods import METHODS
from contracts.devnet.slots import MAX_AGE
from tests.contracts.devnet.support import (
    BEGAN_US,
    CONFIRMED,
    FAUCET,
    FINALITY,
    FINALIZED,
    GENESIS,
    PACE,
    PROCESSED,
    SOL,
    Cluster,
    in_slot,
    no_program,
    pay,
    sent,
    text,
    wallet,
)

SYSTEM = Pubkey.default()
CLOCK = "SysvarC1ock11111111111111111111111111111111"


@pytest.fixture
def cluster() -> Cluster:
    """A chain in its first slot."""
    return Cluster()


# -- commitments


def test_each_commitment_sees_its_own_state(cluster: Cluster) -> None:
    """What is processed is confirmed a slot later and finalized after 32; until then a finalized reader sees the old state."""
    cluster.slot = 40
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    cluster.slot = 100
    signature = cluster.call("sendTransaction", *sent(cluster.payment(payer, to, SOL)))
    seen = {}
    for slot in (100, 101, 100 + FINALITY - 1, 100 + FINALITY):
        cluster.slot = slot
        status = cluster.call("getSignatureStatuses", [signature])[0]
        balances = tuple(cluster.lamports(to, each) for each in (PROCESSED, CONFIRMED, FINALIZED))
        seen[slot] = (status["confirmationStatus"], status["confirmations"], balances)
    assert seen == {
        100: ("processed", 0, (SOL, 0, 0)),
        101: ("confirmed", 1, (SOL, SOL, 0)),
        131: ("confirmed", 31, (SOL, SOL, 0)),
        132: ("finalized", None, (SOL, SOL, SOL)),
    }


def test_an_account_written_in_many_slots(cluster: Cluster) -> None:
    """A finalized reader sees each of an account's states in its turn, never one in between of a slot."""
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    for slot in range(50, 60):
        cluster.slot = slot
        for part in range(2):
            cluster.call("sendTransaction", *sent(cluster.payment(payer, to, SOL // 100 + part)))
    each = 2 * (SOL // 100) + 1
    for slot in range(50, 60):
        cluster.slot = slot + FINALITY
        assert cluster.lamports(to, FINALIZED) == each * (slot - 49)


def test_the_clock_follows_the_wall(cluster: Cluster) -> None:
    """The Clock sysvar has the slot of the commitment and the unix second in which it began."""
    cluster.slot = 1000.9
    for commitment, slot in ((PROCESSED, 1000), (FINALIZED, 1000 - FINALITY)):
        data = cluster.call("getAccountInfo", CLOCK, commitment | {"encoding": "base64"})["data"][0]
        raw = msgspec.convert(data, bytes)
        assert int.from_bytes(raw[:8], "little") == slot
        assert int.from_bytes(raw[32:40], "little") == (BEGAN_US // 1000 + slot * 400) // 1000


def test_a_clock_that_is_set_back(cluster: Cluster) -> None:
    """Slots never go back; they go on from where they were, and the Clock follows the wall again."""
    cluster.slot = 10_000
    assert cluster.call("getSlot", PROCESSED) == 10_000
    cluster.slot = 5000
    assert cluster.call("getSlot", PROCESSED) == 10_000
    cluster.slot = 5010
    assert cluster.call("getSlot", PROCESSED) == 10_010
    assert cluster.bank.chain.slots.time_s(10_010) == (BEGAN_US // 1000 + 5010 * 400) // 1000
    cluster.slot = 5009.5
    assert cluster.call("getSlot", PROCESSED) == 10_010
    assert [type(record) for record in cluster.records] == [Genesis, Segment, Segment]


def test_program_accounts_of_each_commitment(cluster: Cluster) -> None:
    """Filters by size and bytes; an account that is not final yet is not among the finalized ones."""
    owner, mint = wallet("owner").pubkey(), cluster.bank.chain.mint
    cluster.call("etp_faucet", str(owner), 5)
    account = get_associated_token_address(owner, mint)
    filters = [{"dataSize": 165}, {"memcmp": {"offset": 0, "bytes": str(mint)}}]

    def found(commitment: dict[str, str], *wanted: Any) -> list[str]:
        config = commitment | {"encoding": "base64", "filters": list(wanted)}
        return [each["pubkey"] for each in cluster.call("getProgramAccounts", str(TOKEN_PROGRAM), config)]

    assert found(PROCESSED, *filters) == [str(account)]
    assert set(found(PROCESSED)) == {str(account), str(mint)}
    assert found(FINALIZED) == [str(mint)]
    assert found(PROCESSED, {"memcmp": {"offset": 32, "bytes": str(mint)}}) == []
    cluster.slot = 1 + FINALITY
    assert found(FINALIZED, *filters) == [str(account)]


# -- blockhashes and repeats


def test_a_blockhash_lives_150_slots(cluster: Cluster) -> None:
    """It can be used up to lastValidBlockHeight, and not a slot longer."""
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    cluster.slot = 10
    latest = cluster.call("getLatestBlockhash", PROCESSED)
    assert latest["lastValidBlockHeight"] == 10 + MAX_AGE
    blockhash = Hash.from_string(latest["blockhash"])
    first, second = (cluster.payment(payer, to, SOL + each, blockhash) for each in range(2))
    cluster.slot = 10 + MAX_AGE
    assert cluster.call("isBlockhashValid", str(blockhash), PROCESSED) is True
    assert cluster.call("sendTransaction", *sent(first))
    cluster.slot += 1
    assert cluster.call("isBlockhashValid", str(blockhash), PROCESSED) is False
    assert cluster.call("getFeeForMessage", msgspec.to_builtins(bytes(second.message)), PROCESSED) is None
    error = cluster.refusal("sendTransaction", *sent(second))
    assert (error["code"], error["message"]) == (-32002, "Transaction simulation failed: Blockhash not found")
    assert error["data"]["err"] == "BlockhashNotFound"
    assert cluster.lamports(to) == SOL


def test_a_blockhash_is_known_at_its_commitment(cluster: Cluster) -> None:
    """A preflight at finalized knows no blockhash that is only processed, as on a cluster."""
    payer = cluster.rich("payer")
    cluster.slot = 50
    payment = cluster.payment(payer, wallet("to").pubkey(), SOL)
    error = cluster.refusal("sendTransaction", *sent(payment, preflightCommitment="finalized"))
    assert error["data"]["err"] == "BlockhashNotFound"
    assert cluster.call("sendTransaction", *sent(payment, preflightCommitment="processed"))


def test_a_repeat_is_refused_while_its_blockhash_lives(cluster: Cluster) -> None:
    """AlreadyProcessed with preflight, silence without; paid once."""
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    payment = cluster.payment(payer, to, SOL)
    signature = cluster.call("sendTransaction", *sent(payment))
    for slot in (1, MAX_AGE):
        cluster.slot = slot
        error = cluster.refusal("sendTransaction", *sent(payment))
        assert error["data"]["err"] == "AlreadyProcessed"
        assert cluster.call("sendTransaction", *sent(payment, skipPreflight=True)) == signature
    assert cluster.lamports(to) == SOL
    cluster.slot = MAX_AGE + 2
    assert cluster.refusal("sendTransaction", *sent(payment))["data"]["err"] == "BlockhashNotFound"


def test_old_statuses_want_a_search(cluster: Cluster) -> None:
    """After 150 slots a status is found with searchTransactionHistory alone."""
    signature = cluster.call("requestAirdrop", str(wallet("a").pubkey()), SOL)
    cluster.slot = 1 + MAX_AGE
    assert cluster.call("getSignatureStatuses", [signature])[0]["slot"] == 1
    cluster.slot += 1
    assert cluster.call("getSignatureStatuses", [signature]) == [None]
    found = cluster.call("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
    assert found[0]["confirmationStatus"] == "finalized"


# -- failures


def test_preflight_tells_what_the_runtime_says(cluster: Cluster) -> None:
    """Error, logs and units as a node gives them; nothing lands."""
    payer = cluster.rich("payer")
    error = cluster.refusal("sendTransaction", *sent(cluster.payment(payer, wallet("to").pubkey(), 100 * SOL)))
    assert error["code"] == -32002
    assert (
        error["message"] == "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"
    )
    assert error["data"]["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert "insufficient lamports" in error["data"]["logs"][1]
    assert cluster.lamports(payer.pubkey()) == 10 * SOL


def test_without_preflight_a_failure_lands_and_pays(cluster: Cluster) -> None:
    """It is in a block with its error, and its fee is gone."""
    payer = cluster.rich("payer")
    failing = cluster.payment(payer, wallet("to").pubkey(), 100 * SOL)
    signature = cluster.call("sendTransaction", *sent(failing, skipPreflight=True))
    status = cluster.call("getSignatureStatuses", [signature])[0]
    assert status["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert status["status"] == {"Err": status["err"]}
    assert cluster.lamports(payer.pubkey()) == 10 * SOL - 5000


def test_without_preflight_what_cannot_land_is_dropped(cluster: Cluster) -> None:
    """No money for the fee, a wrong signature: a signature comes back, and no status ever."""
    poor = wallet("poor")
    broke = cluster.payment(poor, wallet("to").pubkey(), SOL)
    rich = cluster.rich("rich")
    forged = VersionedTransaction.populate(cluster.payment(rich, poor.pubkey(), SOL).message, [Signature.default()])
    for transaction in (broke, forged):
        signature = cluster.call("sendTransaction", *sent(transaction, skipPreflight=True))
        assert cluster.call("getSignatureStatuses", [signature]) == [None]
    assert [type(record) for record in cluster.records].count(Transaction) == 1
    assert cluster.refusal("sendTransaction", *sent(broke))["data"]["err"] == "AccountNotFound"
    error = cluster.refusal("sendTransaction", *sent(forged))
    assert (error["code"], error["message"]) == (-32003, "Transaction signature verification failure")


def test_an_account_must_hold_its_rent(cluster: Cluster) -> None:
    """Less than rent exemption for a new account is refused, and costs its fee where it lands: LiteSVM alone lets it pass."""
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    least = cluster.call("getMinimumBalanceForRentExemption", 0)
    small = cluster.payment(payer, to, least - 1)
    error = cluster.refusal("sendTransaction", *sent(small))
    assert error["data"]["err"] == {"InsufficientFundsForRent": {"account_index": 1}}
    assert error["message"].endswith("Transaction results in an account (1) with insufficient funds for rent")
    cluster.call("sendTransaction", *sent(small, skipPreflight=True))
    assert (cluster.lamports(to), cluster.lamports(payer.pubkey())) == (0, 10 * SOL - 5000)
    cluster.call("sendTransaction", *sent(cluster.payment(payer, to, least)))
    assert cluster.lamports(to) == least


# -- transactions told


@pytest.mark.parametrize("encoding", ["json", "jsonParsed", "base64", "base58"])
@pytest.mark.parametrize("version", [None, 0])
def test_a_transaction_as_solders_reads_it(cluster: Cluster, encoding: str, version: int | None) -> None:
    """Each encoding is parsed by the clients' own library; fee, logs, units and balances are there."""
    owner = wallet("owner").pubkey()
    signature = cluster.call("etp_faucet", str(owner), 1_234_567)
    config = CONFIRMED | {"encoding": encoding}
    if version is not None:
        config["maxSupportedTransactionVersion"] = version
    assert cluster.call("getTransaction", signature, config) is None
    cluster.slot = 2
    assert cluster.call("getTransaction", signature, config | FINALIZED) is None
    answer = cluster.ask("getTransaction", signature, config)
    parsed = GetTransactionResp.from_json(msgspec.json.encode(answer).decode())
    assert isinstance(parsed, GetTransactionResp)
    assert parsed.value is not None
    meta = parsed.value.transaction.meta
    assert meta is not None
    assert (parsed.value.slot, parsed.value.block_time, meta.err, meta.fee) == (1, BEGAN_US // 1_000_000, None, 5000)
    assert sum(meta.pre_balances) - sum(meta.post_balances) == 5000
    assert meta.compute_units_consumed
    assert meta.log_messages
    assert meta.inner_instructions
    assert [each.ui_token_amount.amount for each in meta.post_token_balances or []] == ["1234567"]
    assert meta.pre_token_balances == []


def test_a_versioned_transaction_wants_a_client_that_knows_it(cluster: Cluster) -> None:
    """Version 0 is carried out, and told to those who say that they know it."""
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    message = MessageV0.try_compile(payer.pubkey(), [pay(payer, to, SOL)], [], cluster.blockhash())
    signature = cluster.call("sendTransaction", *sent(VersionedTransaction(message, [payer])))
    cluster.slot = 2
    assert cluster.refusal("getTransaction", signature, CONFIRMED)["code"] == -32015
    found = cluster.call("getTransaction", signature, CONFIRMED | {"maxSupportedTransactionVersion": 0})
    assert (found["version"], found["meta"]["postBalances"][1]) == (0, SOL)


def test_what_the_fee_is_said_to_be_is_what_it_is(cluster: Cluster) -> None:
    """5,000 lamports a signature; those that a precompile checks count as well."""
    key = SigningKey(b"k" * 32)
    message = b"something signed"
    offsets = b"".join(each.to_bytes(2, "little") for each in (48, 0xFFFF, 16, 0xFFFF, 112, len(message), 0xFFFF))
    data = b"\x01\x00" + offsets + bytes(key.verify_key) + key.sign(message).signature + message
    check = Instruction(Pubkey.from_string("Ed25519SigVerify111111111111111111111111111"), data, [])
    payer = cluster.rich("payer")
    for instructions, fee in (([], 5000), ([check], 10_000), ([check, check], 15_000)):
        signed = cluster.signed(payer, *instructions, pay(payer, wallet("to").pubkey(), SOL))
        before = cluster.lamports(payer.pubkey())
        assert cluster.call("getFeeForMessage", text_of(signed.message), PROCESSED) == fee
        cluster.call("sendTransaction", *sent(signed))
        assert before - cluster.lamports(payer.pubkey()) == SOL + fee


def text_of(message: Message | MessageV0) -> str:
    """A message in base64."""
    return b64encode(to_bytes_versioned(message)).decode()


def test_a_simulation_changes_nothing(cluster: Cluster) -> None:
    """What it would come to, the accounts asked for, a fresh blockhash; signatures are checked where asked for."""
    payer, to = cluster.rich("payer"), wallet("to").pubkey()
    forged = VersionedTransaction.populate(
        cluster.payment(payer, to, SOL, Hash(b"x" * 32)).message, [Signature.default()]
    )
    config = {"encoding": "base64"} | PROCESSED
    assert cluster.call("simulateTransaction", text(forged), config)["err"] == "BlockhashNotFound"
    fresh = config | {"replaceRecentBlockhash": True, "accounts": {"addresses": [str(to)]}, "innerInstructions": True}
    found = cluster.call("simulateTransaction", text(forged), fresh)
    assert (found["err"], found["accounts"][0]["lamports"], found["unitsConsumed"]) == (None, SOL, 150)
    assert found["replacementBlockhash"]["blockhash"] == str(cluster.blockhash())
    assert cluster.refusal("simulateTransaction", text(forged), config | {"sigVerify": True})["code"] == -32003
    assert cluster.refusal("simulateTransaction", text(forged), fresh | {"sigVerify": True})["code"] == -32602
    assert cluster.lamports(to) == 0


def test_a_blockhash_that_dies_on_the_way(cluster: Cluster) -> None:
    """It lives at the preflight's commitment and no longer in the present slot: taken, and never seen, as on a cluster."""
    payer = cluster.rich("payer")
    payment = cluster.payment(payer, wallet("to").pubkey(), SOL)
    cluster.slot = 1 + MAX_AGE + FINALITY
    signature = cluster.call("sendTransaction", *sent(payment, preflightCommitment="finalized"))
    assert cluster.call("getSignatureStatuses", [signature]) == [None]
    cluster.slot += 1
    assert cluster.refusal("sendTransaction", *sent(payment, preflightCommitment="finalized"))["code"] == -32002


# -- accounts told


def test_an_account_in_each_encoding(cluster: Cluster) -> None:
    """Whole or a part of it; base58 for short data alone; what is no account is none."""
    mint = str(cluster.bank.chain.mint)

    def data(**config: Any) -> Any:
        return cluster.call("getAccountInfo", mint, PROCESSED | config)["data"]

    whole = msgspec.convert(data(encoding="base64")[0], bytes)
    assert (len(whole), whole[4:36], whole[44]) == (82, bytes(FAUCET.pubkey()), 6)
    part = {"offset": 4, "length": 32}
    assert data(encoding="base58", dataSlice=part) == [str(FAUCET.pubkey()), "base58"]
    assert data(encoding="jsonParsed") == data(encoding="base64")
    assert whole in msgspec.convert(data(encoding="base64+zstd")[0], bytes)
    assert cluster.call("getAccountInfo", str(wallet("nobody").pubkey()), PROCESSED) is None
    program = str(TOKEN_PROGRAM)
    assert "please use Base64" in cluster.refusal("getAccountInfo", program, PROCESSED)["message"]
    several = cluster.call(
        "getMultipleAccounts", [mint, str(wallet("nobody").pubkey())], {"dataSlice": part} | PROCESSED
    )
    assert [each and each["space"] for each in several] == [82, None]


@pytest.mark.parametrize(
    "config",
    [
        {"encoding": "utf-8"},
        {"dataSlice": {"offset": -1, "length": 1}},
        {"filters": {"dataSize": 1}},
        {"filters": [{"dataSize": 1}] * 5},
        {"filters": [{"tokenAccountState": None}]},
        {"filters": [{"memcmp": {"offset": 0, "bytes": "1" * 177}}]},
        {"filters": [{"memcmp": {"offset": 0, "bytes": "0"}}]},
        {"filters": [{"memcmp": {"offset": 0, "bytes": [256]}}]},
        {"filters": [{"memcmp": {"offset": 0, "bytes": [0] * 129}}]},
        {"withContext": "yes"},
        {"minContextSlot": -1},
    ],
)
def test_a_configuration_that_means_nothing(cluster: Cluster, config: dict[str, Any]) -> None:
    """Refused, rather than read as something else."""
    assert cluster.refusal("getProgramAccounts", str(TOKEN_PROGRAM), config)["code"] == -32602


def test_accounts_with_their_slot(cluster: Cluster) -> None:
    """`withContext` says of which slot they are; bytes may be given in base64 and as numbers too."""
    mint = bytes(cluster.bank.chain.mint)
    cluster.call("etp_faucet", str(wallet("a").pubkey()), 1)
    for wanted in ({"bytes": b64encode(mint).decode(), "encoding": "base64"}, {"bytes": list(mint)}):
        config = PROCESSED | {
            "encoding": "base64",
            "withContext": True,
            "filters": [{"memcmp": {"offset": 0} | wanted}],
        }
        answer = cluster.ask("getProgramAccounts", str(TOKEN_PROGRAM), config)["result"]
        assert (answer["context"]["slot"], len(answer["value"])) == (1, 1)


def test_small_facts(cluster: Cluster) -> None:
    """Of the chain and its runtime."""
    cluster.slot = 40
    assert cluster.call("getVersion")["solana-core"] == "2.2.0"
    assert cluster.call("getGenesisHash") == str(Hash(GENESIS))
    assert [cluster.call("getBlockHeight", each) for each in (PROCESSED, CONFIRMED, FINALIZED)] == [40, 39, 8]
    info = cluster.call("getEpochInfo", PROCESSED)
    assert (info["absoluteSlot"], info["slotIndex"], info["epoch"], info["transactionCount"]) == (40, 40, 0, 0)
    nobody = str(wallet("nobody").pubkey())
    assert cluster.refusal("getTokenAccountBalance", nobody, PROCESSED)["message"].endswith("could not find account")


# -- the faucet


def test_the_faucet_gives_twice_the_same(cluster: Cluster) -> None:
    """Two equal wishes in one slot are two transactions; the token account is made by the first."""
    owner = wallet("owner").pubkey()
    assert len({cluster.call("requestAirdrop", str(owner), SOL) for _ in range(3)}) == 3
    assert len({cluster.call("etp_faucet", str(owner), 2_500_000) for _ in range(2)}) == 2
    account = get_associated_token_address(owner, cluster.bank.chain.mint)
    held = cluster.call("getTokenAccountBalance", str(account), PROCESSED)
    assert held == {"amount": "5000000", "decimals": 6, "uiAmount": 5.0, "uiAmountString": "5"}
    assert cluster.lamports(owner) == 3 * SOL
    assert cluster.refusal("requestAirdrop", str(owner), 10**18)["code"] == -32002
    assert cluster.refusal("etp_faucet", str(owner), 2**64 - 1)["code"] == -32002
    assert cluster.refusal("getTokenAccountBalance", str(owner), PROCESSED)["message"].endswith("not a Token account")


# -- the ledger


def busy(cluster: Cluster) -> None:
    """Some life: payments, failures that land and that do not, tokens, slots."""
    payer = cluster.rich("payer", 100 * SOL)
    for number in range(30):
        cluster.slot += number % 3
        amount = SOL // 10 if number % 7 else 1000 * SOL
        payment = cluster.payment(payer, wallet(f"to {number % 5}").pubkey(), amount + number)
        cluster.call("sendTransaction", *sent(payment, skipPreflight=True))
        for wrong in (1000 * SOL, 1):  # not there, and too little for the rent of a new account
            refused = cluster.payment(payer, wallet(f"new {number}").pubkey(), wrong)
            cluster.refusal("sendTransaction", *sent(refused))
        if number % 4 == 0:
            cluster.call("sendTransaction", *sent(refused, skipPreflight=True))
        cluster.call("etp_faucet", str(wallet(f"to {number % 4}").pubkey()), number)


def facts(cluster: Cluster) -> list[Any]:
    """What can be seen of a chain."""
    chain = cluster.bank.chain
    history = [
        (str(key), each.slot, each.failure, each.fee, each.balances, each.meta.logs())
        for key, each in chain.landed.items()
    ]
    states = [
        [
            (str(address), bytes(account))
            for program in (SYSTEM, TOKEN_PROGRAM)
            for address, account in chain.owned(program, slot)
        ]
        for slot in (chain.slots.processed, chain.slots.confirmed, chain.slots.finalized)
    ]
    return [history, states, chain.slots.processed, cluster.blockhash(), cluster.blockhash(FINALIZED)]


def test_a_ledger_tells_the_same_chain_again(cluster: Cluster) -> None:
    """Through its lines: same slots, signatures, errors, balances and states of each commitment; repeats are still refused."""
    busy(cluster)
    lines = LineWriter().lines(cluster.records).splitlines(keepends=True)
    restored = Bank.restore(LineReader().records(lines), FAUCET, PACE, no_program, in_slot(cluster.slot))
    again = Cluster(restored)
    again.slot = cluster.slot
    assert facts(again) == facts(cluster)
    last = next(each for each in reversed(cluster.records) if isinstance(each, Transaction))
    repeated = VersionedTransaction.from_bytes(last.raw)
    assert again.refusal("sendTransaction", *sent(repeated))["data"]["err"] == "AlreadyProcessed"
    assert again.call("etp_faucet", str(wallet("a").pubkey()), 1)


def test_time_goes_on_while_nobody_serves(cluster: Cluster) -> None:
    """Slots of the time between; what was final stays so although finality takes longer now; a clock set back hurts nobody."""
    cluster.slot = 100
    payer = cluster.rich("payer")
    records = list(cluster.records)
    slow = Pace(1000, 200, b"")
    again = Cluster(Bank.restore(iter(records), FAUCET, slow, no_program, in_slot(150)))
    again.slot = 150
    slots = again.bank.chain.slots
    assert (slots.processed, slots.finalized) == (150, 118)
    assert again.lamports(payer.pubkey(), FINALIZED) == 10 * SOL
    again.slot = 150 + 2.5 * 10
    assert (again.call("getSlot", PROCESSED), slots.finalized) == (160, 118)
    back = Bank.restore(iter(records), FAUCET, PACE, no_program, in_slot(20))
    assert back.chain.slots.processed == 100
    back.advance(in_slot(21))
    assert back.chain.slots.processed == 101


def test_a_ledger_that_comes_to_something_else_is_refused(cluster: Cluster) -> None:
    """Another outcome, another faucet, another beginning."""
    cluster.rich("payer")
    genesis, first, landed = cluster.records
    assert isinstance(landed, Transaction)

    def restore(*records: Any, key: Keypair = FAUCET) -> Bank:
        return Bank.restore(iter(records), key, PACE, no_program, in_slot(1))

    assert restore(genesis, first, landed).chain.count == 1
    for wrong in (msgspec.structs.replace(landed, outcome=b"12345678"), landed):
        with pytest.raises(ReplayError, match="otherwise"):
            restore(genesis, first, *([landed, landed] if wrong is landed else [wrong]))
    with pytest.raises(ReplayError, match="faucet"):
        restore(genesis, first, key=wallet("another"))
    for records in ((), (genesis,), (first, genesis), (genesis, first, genesis)):
        with pytest.raises(LedgerError):
            restore(*records)


def test_a_program_is_deployed_and_replaced() -> None:
    """A start may bring a newer program; a replay runs each transaction with the program of its time."""
    svm = LiteSVM()
    shipped = {}
    for name, address in ((b"1" * 32, MEMO_PROGRAM), (b"2" * 32, TOKEN_PROGRAM)):
        account = svm.get_account(address)
        assert account is not None
        shipped[name] = account.data
    memo, token = shipped
    call = Instruction(PROGRAM_ID, b"hello", [])
    bank = Bank.begin(GENESIS, FAUCET, Pace(400, 32, memo), shipped.__getitem__, in_slot(1))
    old = Cluster(bank)
    payer = old.rich("payer")
    signature = old.call("sendTransaction", *sent(old.signed(payer, call)))
    assert old.bank.chain.landed[Signature.from_string(signature)].failure is None
    new = Cluster(Bank.restore(iter(old.records), FAUCET, Pace(400, 32, token), shipped.__getitem__, in_slot(2)))
    new.slot = 2
    error = new.refusal("sendTransaction", *sent(new.signed(payer, call)))
    assert error["data"]["err"]["InstructionError"][0] == 0
    once_more = [*old.records, *new.records]
    last = Cluster(Bank.restore(iter(once_more), FAUCET, Pace(400, 32, token), shipped.__getitem__, in_slot(3)))
    assert last.bank.chain.landed.keys() == new.bank.chain.landed.keys()
    with pytest.raises(ProgramError, match="none that the runtime takes"):
        Bank.begin(GENESIS, FAUCET, Pace(400, 32, memo), lambda _: b"no program", in_slot(1))


# -- requests


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (None, -32600),
        (1, -32600),
        ({}, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "getSlot"}, -32600),
        ({"jsonrpc": "2.0", "id": {}, "method": "getSlot"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
        ([], -32600),
        ([{}] * (MAX_BATCH + 1), -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "getBlock"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": {"commitment": "processed"}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": [{"commitment": "sure"}]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": [{}, 1]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": [{"minContextSlot": 99}]}, -32016),
        ({"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": ["0OIl"]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": []}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "getMultipleAccounts", "params": [["1" * 32] * 101]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": ["AAAA", {"encoding": "base64"}]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": ["A" * 2000]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": ["1" * 32, True]}, -32602),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": ["1" * 64, {"commitment": "processed"}]},
            -32602,
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(cluster: Cluster, request_: object, code: int) -> None:
    """The codes of JSON-RPC and of Solana's nodes."""
    answer = cluster.bank.handle(request_, in_slot(1))
    assert isinstance(answer, dict)
    assert answer["error"]["code"] == code


def test_a_batch_is_answered_in_order(cluster: Cluster) -> None:
    """Each call by its id; those without one are carried out and not answered."""
    owner = str(wallet("a").pubkey())
    batch = [
        {"jsonrpc": "2.0", "id": "x", "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "requestAirdrop", "params": [owner, SOL]},
        7,
        {"jsonrpc": "2.0", "id": None, "method": "getBalance", "params": [owner, PROCESSED]},
    ]
    answers = cluster.bank.handle(batch, in_slot(1))
    assert isinstance(answers, list)
    assert [answer.get("id", "none") for answer in answers] == ["x", None, None]
    assert answers[0]["result"] == "ok"
    assert answers[1]["error"]["code"] == -32600
    assert answers[2]["result"]["value"] == SOL
    assert cluster.bank.handle([batch[1]], in_slot(1)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["commitment", "encoding", "filters", "memcmp", "offset", "bytes", "dataSlice", "accounts"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
SHARED = Cluster()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(METHODS)), st.lists(JSON, max_size=4), st.booleans())
def test_nothing_that_is_sent_makes_it_raise(method: str, params: list[Any], plausible: bool) -> None:
    """Any parameters to any method: a result or an error, and JSON comes out."""
    if plausible:
        params = [str(SHARED.bank.chain.mint), *params[1:]]
    answer = SHARED.ask(method, *params)
    assert ("result" in answer) != ("error" in answer)
    assert msgspec.json.decode(msgspec.json.encode(answer))["id"] == 7


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_broken_transaction_is_refused_or_dropped(data: st.DataObject) -> None:
    """Bits flipped, bytes cut or added: never an exception, never a payment."""
    payer = SHARED.rich("fuzz")
    whole = bytes(SHARED.payment(payer, wallet("thief").pubkey(), SOL))
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))])
    assume(cut != whole)
    skip = data.draw(st.booleans())
    answer = SHARED.ask("sendTransaction", b64encode(cut).decode(), {"encoding": "base64", "skipPreflight": skip})
    assert ("result" in answer) == (skip and "error" not in answer)
    SHARED.ask("simulateTransaction", b64encode(cut).decode(), {"encoding": "base64", "replaceRecentBlockhash": True})
    assert SHARED.lamports(wallet("thief").pubkey()) == 0
