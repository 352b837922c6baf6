"""What results are compared with: bare fdatasyncs, round trips, others on equal work, and a server's own processor time."""

import socket
import threading
from pathlib import Path

import pytest

from benches import clearing, closed, load
from benches.child import running
from benches.disk import BARE_SPAN, Groups, bare_ms, journal_bytes, of_bare
from benches.job import Job, Outcome
from benches.journal import rows
from benches.report import Figure, Report
from benches.round_trips import WARM_UP, datagrams_ms
from benches.scrape import ScrapeError, sample
from benches.soak import page as soak_page
from etp.effects import Row
from market.mechanisms import MECHANISMS
from runtime.io.journal import Journal
from runtime.settings import parse_address


def test_a_bare_write_is_measured_and_cleared_away(tmp_path: Path) -> None:
    """Whatever the size of a group, beyond that of the file too."""
    for size in (1, 1000, BARE_SPAN + 1):
        found = bare_ms(tmp_path, size, 0.01)
        assert found
        assert min(found) > 0
    assert not list(tmp_path.iterdir())


def test_durable_things_are_compared_with_bare_groups_of_the_same_size() -> None:
    """Ten a group and a bare group each 2 ms: 5,000 a second; 1,000 in a second are a fifth."""
    groups = Groups(things=1000, transactions=100, bytes=50_000, seconds=1.0)
    found = Report("", of_bare("x: ", "commits", groups, [1.0, 3.0]))
    assert groups.size == 500
    assert found.value("x: commits a transaction") == 10
    assert found.value("x: commits with bare fdatasyncs") == 5000
    assert found.value("x: commits, of those with bare fdatasyncs") == 20


async def test_a_journals_bytes_are_those_of_its_rows(tmp_path: Path) -> None:
    """Twice the rows are twice the bytes; indices and pages do not count."""
    sizes = []
    for number, count in ((1, 10), (2, 20)):
        journal = Journal.open(tmp_path / str(number), role="bess", device_id=1)
        await journal.commit([row for each in range(10, 10 + count) for row in rows(each, 5)])
        journal.close()
        sizes.append(journal_bytes(tmp_path / str(number)))
    assert sizes[1] == 2 * sizes[0]
    assert sizes[0] > sum(len(str(value)) for row in rows(10, 5) for value in Row(*row).body.values()) * 10


def test_an_echo_returns_datagrams(tmp_path: Path) -> None:
    """Each trip is timed but the first ones, in which both warm up."""
    with running("benches.echo", (), tmp_path / "echo.log") as echo:
        found = datagrams_ms(parse_address("udp", echo.line()["udp"]), 84, 5)
    assert len(found) == 5
    assert min(found) > 0


def test_a_round_trip_is_there_and_back() -> None:
    """Of another's datagram nothing is counted: as many come back as were sent."""
    heard = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            for _ in range(WARM_UP + 1):
                data, address = server.recvfrom(100)
                heard.append(data)
                server.sendto(data, address)

        thread = threading.Thread(target=answer)
        thread.start()
        assert len(datagrams_ms(server.getsockname(), 84, 1)) == 1
        thread.join()
    assert [len(data) for data in heard] == [84] * (WARM_UP + 1)


def test_a_metric_is_read_by_its_whole_name() -> None:
    """Not by the beginning of another's; one that is not there is named."""
    text = "# HELP a_total x\na_total_more 1\na_total 7\na_seconds_sum 0.5\n"
    assert sample(text, "a_total") == 7
    with pytest.raises(ScrapeError, match="a_tot is exposed"):
        sample(text, "a_tot")


def test_all_clear_the_same_lot() -> None:
    """Divisible ones all units of it, the others one; whoever sells more or fewer stops the bench."""
    prices = clearing.prices_of(40)
    ours = {name: lambda prices, name=name: clearing.ours(name, prices) for name in MECHANISMS}
    sold = clearing.equal(ours, prices)
    assert sold["uniform"] == clearing.units_of(40) == 10
    assert {units for name, units in sold.items() if not MECHANISMS[name].divisible} == {1}
    with pytest.raises(clearing.UnequalWorkError, match="huang sells 10 units to 40 bidders; expected 9 to 9"):
        clearing.equal({"huang": lambda _: 10}, prices)
    with pytest.raises(clearing.UnequalWorkError, match="muda sells 0 units to 40 bidders; expected 1 to 10"):
        clearing.equal({"muda": lambda _: 0}, prices)


def test_no_two_bid_the_same_in_clearing() -> None:
    """Auctions that set a price between two bids need them to differ."""
    for bidders in clearing.BIDDERS:
        prices = clearing.prices_of(bidders)
        assert len(set(prices)) == bidders
        assert prices == clearing.prices_of(bidders)


class Idle:
    """A server that has done nothing."""

    def cpu_s(self) -> float:
        """None of it."""
        return 0.0


def played(job: Job, *, answers: int, server_percent: float) -> load.Phase:
    """A phase of a second."""
    return load.Phase(job, Outcome(seconds=1.0, sent=answers, answer_us=[1] * answers), server_percent, 0.0)


def test_a_server_is_judged_by_its_own_processor_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As many answers of half the processor time are twice as good; the warm-up does not count, but its prices are used up."""
    begun: list[tuple[str, int, float]] = []
    shares = {"etp": 25.0, "echo": 50.0}

    def run(job: Job, _: load.Busy, __: Path) -> load.Phase:
        begun.append((job.wire, job.begun, job.seconds))
        return played(job, answers=100, server_percent=shares[job.wire])

    monkeypatch.setattr(load, "run", run)
    servers = [closed.Server(name, name, Idle(), ("", 1)) for name in ("etp", "echo")]  # type: ignore[arg-type]
    done = closed.Rounds(servers, tmp_path, 1.5)
    done.warm(10)
    assert not done.phases
    done.run(10)
    assert (done.percent_of("echo", 10), done.core_percent_of("echo", 10)) == (100, 200)
    assert done.rate_of_core("etp", 10) == 400
    warm_up_s = closed.WARM_UP_S
    assert begun == [("etp", 0, warm_up_s), ("echo", 0, warm_up_s), ("etp", 100, 1.5), ("echo", 100, 1.5)]


def test_the_soaks_headline_counts_every_bid_first() -> None:
    """What was due at any time, then what is left of it, and the command that plays the same again."""
    shares = {soak_page.DUE_AT_ANY_TIME: 98.1, soak_page.SENT: 99.7, soak_page.UNDISTURBED: 100.0}
    figures = [Figure(name, value, "%").as_dict() for name, value in shares.items()]
    machine = {"cpu": "Z80", "cores": 1, "python": "3.11", "commit": "0"}
    found = {"time": "2026-11-21T00:00:00Z", "seed": 7, "seconds": 3600.0, "machine": machine, "losses": []}
    text = soak_page.drawn(found | {"soak": {"load": "3 × 4", "figures": figures}})
    assert text.startswith("**98.1 % of all bids that were due at any time")
    assert "`python -m benches.soak --minutes 60 --seed 7`" in text
