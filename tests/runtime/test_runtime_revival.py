"""How a life begins: after all that the last one can have signed, with a boot that was never used."""

import pytest

from etp.clock import Now
from etp.ids import MARK_AHEAD_US
from etp.profile import Plain
from etp.units import MonotonicS, WallUs
from runtime.revival import ahead_us, boot_number, profile_of
from runtime.settings import NodeSettings, SettingsError

NOW = Now(MonotonicS(3.0), WallUs(1_700_000_000_000_000))


@pytest.mark.parametrize("ahead", [-5, 0, 1, MARK_AHEAD_US])
def test_the_mark_is_waited_for(ahead: int) -> None:
    """As long as it is no further ahead than it is ever put."""
    assert ahead_us(NOW.wall_us + ahead, NOW) == ahead


def test_a_clock_that_went_back_is_refused() -> None:
    """Beyond the mark's lead no restart explains it: which clock, by how much, and what to do."""
    with pytest.raises(SettingsError, match=r"1\.5 s behind what this node has signed; set the clock"):
        ahead_us(NOW.wall_us + 1_500_000, NOW)


@pytest.mark.parametrize(("before", "wall_s", "boot"), [(None, 7, 7), (7, 7, 8), (9, 7, 10), (7, 9, 9)])
def test_a_boot_is_higher_than_every_one_before(before: int | None, wall_s: int, boot: int) -> None:
    """The time, or one more than the last."""
    assert boot_number(before, wall_s) == boot


def test_ids_begin_above_the_mark() -> None:
    """Whatever the clock says."""
    settings = NodeSettings(device_id=101, profile="plain")
    profile = profile_of(settings, mark=NOW.wall_us + 900, registry=None, identity=None, now=NOW)
    assert isinstance(profile, Plain)
    assert profile.ids.next(NOW.wall_us) == NOW.wall_us + 901
