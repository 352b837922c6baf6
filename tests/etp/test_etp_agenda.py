"""What is due when: against a naive list, and its memory."""

from hypothesis import given
from hypothesis import strategies as st

from etp.agenda import Agenda

INSTANTS = st.integers(0, 20)
STEPS = st.lists(st.one_of(st.tuples(st.integers(0, 5), st.none() | INSTANTS), INSTANTS), max_size=60)


@given(STEPS)
def test_it_is_a_sorted_list_of_what_was_set_last(steps: list[tuple[int, int | None] | int]) -> None:
    """Any order of setting, moving, dropping and popping gives what a plain dictionary gives."""
    agenda: Agenda[int] = Agenda()
    naive: dict[int, int] = {}
    for step in steps:
        if isinstance(step, int):
            due = {key for key, at in naive.items() if at <= step}
            popped = list(agenda.pop_due(step))
            assert [naive[key] for key in popped] == sorted(naive.pop(key) for key in due)
            assert set(popped) == due
        else:
            key, at = step
            agenda.set(key, at)
            naive.pop(key, None)
            if at is not None:
                naive[key] = at
        assert agenda.next() == min(naive.values(), default=None)


def test_moving_a_key_for_ever_takes_no_memory() -> None:
    """A key moved 10,000 times leaves a bounded heap."""
    agenda: Agenda[str] = Agenda()
    for instant in range(10_000):
        agenda.set("a", instant)
        agenda.set("b", 20_000 - instant)
    assert len(agenda._heap) <= 2 * 2 + 17
    assert list(agenda.pop_due(30_000)) == ["a", "b"]
    assert agenda.next() is None
