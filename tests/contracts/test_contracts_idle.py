"""A quiet market: nothing was settled for a while, and then something is."""

import pytest

from tests.contracts.fake_chain import Bench, entry


@pytest.mark.parametrize("rpcs", [1, 3])
def test_after_a_quiet_time_an_honest_rpc_is_believed(rpcs: int) -> None:
    """Whatever the time between two trades: no RPC is put aside, and the second is paid as soon as the first."""
    bench = Bench(rpcs)
    bench.add(entry(1))
    bench.run(2)
    bench.run(120)
    bench.add(entry(2))
    bench.run(2)
    assert [bench.state(lot) for lot in (1, 2)] == ["settled", "settled"]
    assert [log.fields["reason"] for log in bench.logs if log.event == "rpc" and log.fields["reason"]] == []
    bench.check()
