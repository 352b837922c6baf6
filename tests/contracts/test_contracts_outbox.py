"""Rows of the outbox: what is written is what is read, every state has its row, and no move is made that the table lacks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.outbox import (
    DONE_IN,
    FINAL,
    LOT_STATE,
    OUTBOX,
    UNSETTLED,
    Act,
    Attempt,
    Entry,
    OutboxError,
    OutboxState,
    confirmed,
    entry_of,
    row,
)
from etp.effects import Row
from etp.state import LOT, LotState
from etp.units import WallUs
from tests.contracts.fake_chain import BUYER, BUYER_ID, confirm, entry

ATTEMPT = Attempt(Act.SETTLE, b"\x01raw", bytes(range(64)), bytes(32), 150)


@given(
    state=st.sampled_from([state for state in OutboxState if state not in FINAL]),
    act=st.sampled_from(Act),
    signed=st.integers(0, 2**31),
    reason=st.text(max_size=150),
    release_at=st.integers(0, 2**40),
    height=st.integers(0, 2**63),
)
def test_a_row_is_read_back_as_it_was_written(
    *, state: OutboxState, act: Act, signed: int, reason: str, release_at: int, height: int
) -> None:
    attempt = replace(ATTEMPT, act=act, last_valid_height=height)
    made = replace(
        entry(7),
        state=state,
        attempt=attempt,
        signed=signed,
        reason=reason,
        release_at=release_at,
        changed_us=WallUs(2**60),
    )
    found = entry_of(row(made))
    if made.live is None:  # bytes that have nothing left to do are not kept
        made = replace(made, attempt=replace(attempt, raw=b""))
    assert found == made
    assert row(made).pending


def test_a_confirm_says_what_is_owed() -> None:
    made = confirmed(confirm(9, price=123_457, energy=1_501), BUYER.public, WallUs(5))
    assert (made.lot_id, made.buyer, made.price, made.energy) == (9, BUYER_ID, 123_457, 1_501)
    assert made.amount == 185_309  # 185,308.957 rounded
    assert row(made).state == "confirmed"
    assert row(made).subject == "9"


@pytest.mark.parametrize("state", OutboxState)
def test_every_state_has_a_row_and_a_lot_state(state: OutboxState) -> None:
    assert state in OUTBOX
    assert state in LOT_STATE
    for after in OUTBOX[state]:
        path, end = LOT_STATE[state], LOT_STATE[after]
        assert end is path or end in LOT[path] or LotState.SETTLING in LOT[path], (state, after)
    assert row(replace(entry(1), state=state)).pending == (state not in FINAL)


def test_only_what_is_not_on_the_chain_is_unsettled() -> None:
    assert {state.value for state in UNSETTLED} == {"confirmed", "settling", "defaulted", "refused"}
    assert {state.value for state in FINAL} == {"settled", "refunded"}


def test_every_move_that_the_table_lacks_is_refused() -> None:
    for state in OutboxState:
        for after in OutboxState:
            made = replace(entry(1), state=state)
            if after is state or after in OUTBOX[state]:
                assert made.moved(after, WallUs(1)).state is after
            else:
                with pytest.raises(OutboxError, match=f"from {state.value} to {after.value}"):
                    made.moved(after, WallUs(1))


def test_what_is_live_depends_on_act_and_state() -> None:
    for act in Act:
        for state in OutboxState:
            made = replace(entry(1), state=state, attempt=replace(ATTEMPT, act=act))
            assert (made.live is None) == (state in DONE_IN[act])
    assert replace(entry(1), attempt=replace(ATTEMPT, raw=b"")).live is None


@pytest.mark.parametrize("field", ["record", "buyer_key", "energy_wh", "signed"])
def test_a_row_that_lacks_something_is_refused(field: str) -> None:
    written = row(entry(3))
    body = {name: value for name, value in written.body.items() if name != field}
    with pytest.raises(OutboxError, match="lot 3 cannot be read"):
        entry_of(written._replace(body=body))


def test_rows_of_other_kinds_and_wrong_lengths_are_refused() -> None:
    with pytest.raises(OutboxError, match="'trade'"):
        entry_of(Row("trade", 1, "confirmed", WallUs(1), {}))
    with pytest.raises(OutboxError, match="211 bytes"):
        confirmed(confirm(1)[:-1], BUYER.public, WallUs(1))
    with pytest.raises(OutboxError, match="buyer's key of lot 1 has 31 bytes"):
        confirmed(confirm(1), BUYER.public[:-1], WallUs(1))


def test_a_long_reason_is_cut() -> None:
    made: Entry = entry(1).moved(OutboxState.REFUSED, WallUs(1), "x" * 5_000)
    assert len(made.reason) == 200
