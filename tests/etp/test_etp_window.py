"""The anti-replay window against the obvious one: a set of all counters that came."""

from hypothesis import given
from hypothesis import strategies as st

from etp.window import WIDTH, Window

BOOT = 1 << 32
counters = st.one_of(
    st.integers(1, 40),
    st.integers(1000, 1100),
    st.integers(2000, 2100),
    st.integers(BOOT, BOOT + 30),
    st.integers(BOOT + 1020, BOOT + 1030),
    st.integers(3 * BOOT, 3 * BOOT + 20),
    st.integers(0, 2**64 - 1),
)


class Naive:
    """All that was ever taken."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def is_new(self, counter: int) -> bool:
        """A higher boot is new; in the highest one, what came after the first of all, did not come and is less than WIDTH behind."""
        if not self.taken:
            return True
        highest = max(self.taken)
        if counter >> 32 != highest >> 32:
            return counter > highest
        return counter > self.taken[0] and counter not in self.taken and highest - counter < WIDTH


@given(st.lists(counters, max_size=60))
def test_it_tells_what_a_set_tells(order: list[int]) -> None:
    """Whatever comes in whatever order; each counter is taken once at most."""
    window, naive, taken = Window(), Naive(), []
    for counter in order:
        new = window.is_new(counter)
        assert new == naive.is_new(counter)
        assert window.is_new(counter) == new, "asking changes nothing"
        if new:
            window.take(counter)
            naive.taken.append(counter)
            taken.append(counter)
            assert not window.is_new(counter)
    assert len(taken) == len(set(taken))


def test_its_edges() -> None:
    """1,023 behind is told apart, 1,024 behind is too old."""
    window = Window()
    window.take(1)
    window.take(5000)
    assert window.is_new(5000 - WIDTH + 1)
    assert not window.is_new(5000 - WIDTH)
    window.take(5000 - WIDTH + 1)
    assert not window.is_new(5000 - WIDTH + 1)
    window.take(5000 + WIDTH)
    assert not window.is_new(5000)
    assert window.is_new(5001)


def test_what_was_said_before_the_first_is_old() -> None:
    """After our own restart nobody can tell whether it came: at most it is a repetition."""
    window = Window()
    window.take(5000)
    assert not any(window.is_new(counter) for counter in range(3900, 5001))
    assert window.is_new(5001)


def test_a_lower_boot_is_refused_a_higher_one_begins_anew() -> None:
    """As after a restart: what was signed before it never counts again."""
    window = Window()
    window.take(7 * BOOT + 1)
    assert not any(window.is_new(counter) for counter in (7 * BOOT - 1, 6 * BOOT + 900_000, 1, 0))
    window.take(8 * BOOT + 3)
    assert window.is_new(8 * BOOT + 2)
    assert not window.is_new(7 * BOOT + 2)
    assert not window.is_new(8 * BOOT - 1), "less than WIDTH behind, but of the boot before"


def test_its_size_is_bounded() -> None:
    """A sender that jumps about makes it no larger."""
    window = Window()
    for counter in range(1, 200_000, 997):
        window.take(counter)
    assert window._seen.bit_length() <= WIDTH
