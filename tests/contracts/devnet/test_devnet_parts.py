"""Small parts: the undo log against a naive one, Zstandard frames, amounts, the errors' words, settings."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.account import Account
from solders.pubkey import Pubkey

from contracts.devnet.failures import in_words
from contracts.devnet.settings import DevnetSettings, check_listen
from contracts.devnet.slots import MAX_AGE
from contracts.devnet.tokens import amount_json
from contracts.devnet.versions import Versions
from contracts.devnet.wire import ZSTD_MAX_BLOCK, base64, zstd_frame
from runtime.settings import SettingsError
from tests.contracts.devnet.support import Cluster

ADDRESSES = [Pubkey(bytes([number]) * 32) for number in range(3)]


def account(number: int) -> Account:
    """Tells one state from another."""
    return Account(number, b"", Pubkey.default())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40), st.integers(1, 8))
def test_the_undo_log_is_as_if_all_were_kept(writes: list[tuple[int, int]], window: int) -> None:
    """Against copies of the whole state of each slot: every reader from the finalized slot on sees the same."""
    versions, state, slot = Versions(), dict.fromkeys(ADDRESSES), 0
    kept: dict[int, dict[Pubkey, Account | None]] = {0: {}}
    for number, (which, steps) in enumerate(writes, 1):
        for _ in range(steps):
            kept[slot] = dict(state)
            slot += 1
        finalized = max(0, slot - window)
        versions.forget(finalized)
        address = ADDRESSES[which]
        versions.keep(slot, address, state[address])
        state[address] = account(number)
        kept[slot] = dict(state)
        for at in range(finalized, slot + 1):
            assert {each: versions.at(at, each, state[each]) for each in ADDRESSES} == kept[at]
    versions.forget(slot)
    assert len(versions) == 0


@pytest.mark.parametrize("size", [0, 1, 165, ZSTD_MAX_BLOCK, ZSTD_MAX_BLOCK + 1])
def test_a_frame_that_others_unpack(size: int) -> None:
    """What solders, which has Zstandard, reads of it."""
    import json

    from solders.rpc.responses import GetAccountInfoResp

    data = bytes(index % 251 for index in range(size))
    value = {"lamports": 1, "owner": "1" * 32, "executable": False, "rentEpoch": 0, "space": size}
    value["data"] = [base64(zstd_frame(data)), "base64+zstd"]
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": 1}, "value": value}}
    parsed = GetAccountInfoResp.from_json(json.dumps(answer))
    assert isinstance(parsed, GetAccountInfoResp)
    assert parsed.value is not None
    assert parsed.value.data == data


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (0, 6, "0"),
        (1, 6, "0.000001"),
        (2_500_000, 6, "2.5"),
        (10**19, 6, "10000000000000"),
        (7, 0, "7"),
        (1200, 3, "1.2"),
    ],
)
def test_an_amount_in_words(amount: int, decimals: int, text: str) -> None:
    """Exact, without trailing zeros."""
    assert amount_json(amount, decimals)["uiAmountString"] == text
    assert amount_json(amount, decimals)["amount"] == str(amount)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("AlreadyProcessed", "This transaction has already been processed"),
        ("ClusterMaintenance", "cluster maintenance"),
        ({"InstructionError": [2, {"Custom": 6003}]}, "Error processing Instruction 2: custom program error: 0x1773"),
        ({"InstructionError": [0, "InvalidArgument"]}, "Error processing Instruction 0: invalid program argument"),
        ({"InstructionError": [0, {"BorshIoError": "x"}]}, "Error processing Instruction 0: borsh io error: x"),
        ({"DuplicateInstruction": 3}, "duplicate instruction: 3"),
    ],
)
def test_an_error_in_words(failure: object, words: str) -> None:
    """As a node says it; what the table lacks is said by its name."""
    assert in_words(failure) == words  # type: ignore[arg-type]


def test_it_listens_on_loopback_alone() -> None:
    """The faucet gives to all."""
    assert check_listen(DevnetSettings(listen="127.0.0.1:0", state_dir=Path("x"))) == ("127.0.0.1", 0)
    for wrong in ("0.0.0.0:8899", "192.168.1.5:8899", "localhost"):
        with pytest.raises(SettingsError, match="listen"):
            check_listen(DevnetSettings(listen=wrong, state_dir=Path("x")))


def test_what_is_remembered_of_slots_is_bounded() -> None:
    """A chain that sleeps for a year knows the blockhashes of its last slots alone."""
    cluster = Cluster()
    cluster.slot = 80_000_000
    cluster.call("getSlot")
    slots = cluster.bank.chain.slots
    assert len(slots._hashes) == MAX_AGE + slots.segment.finality_slots + 1
    oldest = slots.blockhash(slots.finalized - MAX_AGE)
    assert slots.lives(oldest, slots.finalized)
    assert not slots.lives(oldest, slots.finalized + 1)
