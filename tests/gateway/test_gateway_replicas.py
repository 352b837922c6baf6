"""Which nodes nobody holds because their gateway is silent: by the reader's own clock, and only where it could read."""

from etp.units import MonotonicS
from gateway.replicas import FORGOTTEN_S, SILENT_S, Beat, Replicas, Verdict

NOTHING = Verdict(frozenset(), frozenset())


def beats(**numbers: int) -> dict[str, Beat]:
    """Each gateway holds node 1, and one of its own."""
    return {name: Beat(number, frozenset({1, ord(name)})) for name, number in numbers.items()}


def look(replicas: Replicas, at_s: float, **numbers: int) -> Verdict:
    """What follows at an instant."""
    return replicas.look(beats(**numbers), MonotonicS(at_s))


def test_who_beats_is_there() -> None:
    """However long it takes, as long as the number changes; it may begin anew."""
    replicas = Replicas("a")
    for round_ in range(10):
        assert look(replicas, round_ * 0.9 * SILENT_S, a=round_, b=5 - round_) == NOTHING


def test_a_silent_gateway_leaves_what_nobody_else_holds() -> None:
    """Again and again, in case it was not heard; then its beats are removed, and that is all."""
    replicas = Replicas("a")
    look(replicas, 0, a=1, b=7, c=1)
    assert look(replicas, SILENT_S - 0.1, a=2, b=7, c=2) == NOTHING
    for at_s in (SILENT_S, FORGOTTEN_S - 1):
        assert look(replicas, at_s, a=3, b=7, c=round(at_s)) == Verdict(frozenset({ord("b")}), frozenset())
    gone = look(replicas, FORGOTTEN_S, a=4, b=7, c=99)
    assert gone == Verdict(frozenset({ord("b")}), frozenset({"b"}))
    assert look(replicas, FORGOTTEN_S + 1, a=5, c=100) == NOTHING
    assert look(replicas, FORGOTTEN_S + 2, a=6, b=7, c=101) == NOTHING  # it is back, with the same number


def test_two_that_are_silent_hold_nothing() -> None:
    """And a gateway does not take itself for silent, whatever it reads of itself."""
    replicas = Replicas("a")
    look(replicas, 0, a=1, b=1, c=1)
    assert look(replicas, SILENT_S, a=1, b=1, c=1).orphans == {ord("b"), ord("c")}
    assert Replicas("z").look({}, MonotonicS(0)) == NOTHING


def test_silence_is_not_judged_while_nothing_could_be_read() -> None:
    """After Redis was away everybody has the whole time again."""
    replicas = Replicas("a")
    look(replicas, 0, a=1, b=1)
    replicas.failed()
    assert look(replicas, 2 * SILENT_S, a=2, b=1) == NOTHING
    assert look(replicas, 3 * SILENT_S, a=3, b=1).orphans == {ord("b")}
