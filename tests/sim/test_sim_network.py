"""The network: order within a connection, cuts in mid-frame, walls in one direction, slow readers, datagrams lost and doubled."""

from collections import Counter
from random import Random

from sim.network import Network, Weather
from sim.scheduler import Scheduler


class Pipe:
    """One direction of a connection between hosts 0 and 1, with what came out of it."""

    def __init__(self, weather: Weather, seed: int = 1) -> None:
        self.scheduler, self.counts = Scheduler(), Counter[str]()
        self.network = Network(self.scheduler, weather, Random(seed), self.counts)
        self.host, self.arrives_s, self.broken = 0, 0.0, False
        self.link, self.peer = self, Out(self)
        self.cuts = 0

    def cut(self) -> None:
        """The network breaks it."""
        self.broken = True
        self.cuts += 1

    def send(self, data: bytes) -> None:
        """Bytes leave."""
        self.network.carry(self, data)  # type: ignore[arg-type]


class Out:
    """Its other end."""

    def __init__(self, pipe: Pipe) -> None:
        self.host, self.arrives_s = 1, 0.0
        self.came: list[tuple[float, bytes]] = []
        self._pipe, self.peer = pipe, pipe

    def arrive(self, data: bytes) -> None:
        """Bytes arrive."""
        self.came.append((self._pipe.scheduler.time_s, data))


def test_bytes_of_a_connection_stay_in_order_whatever_their_delays() -> None:
    """A later packet waits for an earlier one, even where one in three waits a second longer."""
    pipe = Pipe(Weather(delay_s=(0.001, 0.5), tail_s=1.0, unlucky=0.3))
    for number in range(200):
        pipe.send(bytes([number]))
    pipe.scheduler.run(60.0)
    assert b"".join(data for _, data in pipe.peer.came) == bytes(range(200))
    assert pipe.peer.came[-1][0] > 1.0


def test_a_cut_comes_in_mid_frame() -> None:
    """What arrives of the last packet is a part of it, and nothing follows."""
    lengths = set()
    for seed in range(30):
        pipe = Pipe(Weather(cut_per_packet=0.5), seed)
        for _ in range(20):
            pipe.send(bytes(88))
        pipe.scheduler.run(1.0)
        *whole, last = [len(data) for _, data in pipe.peer.came]
        assert set(whole) <= {88}
        assert pipe.cuts == 1
        lengths.add(last)
    assert len(lengths) > 10
    assert max(lengths) < 88


def test_a_wall_holds_one_direction_back_until_it_opens() -> None:
    """The connection lives; what was held back comes in order. The other direction was never shut."""
    pipe = Pipe(Weather())
    pipe.network.wall([(0, 1)])
    assert not pipe.network.passes(0, 1)
    assert pipe.network.passes(1, 0)
    for number in range(5):
        pipe.send(bytes([number]))
    pipe.scheduler.run(5.0)
    assert pipe.peer.came == []
    pipe.network.open([(0, 1)])
    pipe.send(b"\x05")
    pipe.scheduler.run(6.0)
    assert b"".join(data for _, data in pipe.peer.came) == bytes(range(6))


def test_a_wall_that_two_have_built_falls_with_the_second_and_holds_the_end_back_too() -> None:
    """An end of file comes behind the data."""
    pipe = Pipe(Weather())
    pipe.network.wall([(0, 1)])
    pipe.network.wall([(0, 1)])
    pipe.send(b"last")
    pipe.network.hang_up(pipe.peer)  # type: ignore[arg-type]
    pipe.network.open([(0, 1)])
    pipe.scheduler.run(5.0)
    assert not pipe.network.passes(0, 1)
    assert pipe.peer.came == []
    pipe.network.open([(0, 1)])
    pipe.scheduler.run(6.0)
    assert pipe.network.passes(0, 1)
    assert [data for _, data in pipe.peer.came] == [b"last", None]


def test_what_a_machine_would_send_again_is_gone_with_it() -> None:
    """And who waits for it is known."""
    pipe = Pipe(Weather())
    pipe.network.wall([(0, 1)])
    pipe.send(b"never")
    assert pipe.network.power_lost(0) == [pipe.peer]
    pipe.network.open_all()
    pipe.scheduler.run(5.0)
    assert pipe.network.passes(0, 1)
    assert pipe.peer.came == []


def test_datagrams_are_lost_doubled_and_overtake() -> None:
    """Each is counted; behind a wall none arrives."""
    pipe, came = Pipe(Weather(delay_s=(0.0, 1.0), datagram_lost=0.3, datagram_doubled=0.3)), list[bytes]()
    for number in range(250):
        pipe.network.datagram(0, 1, came.append, bytes([number]))
    pipe.network.wall([(0, 1)])
    pipe.network.datagram(0, 1, came.append, b"never")
    pipe.scheduler.run(2.0)
    lost, doubled = pipe.counts["datagram_lost"], pipe.counts["datagram_doubled"]
    assert 40 < lost < 110
    assert 30 < doubled < 90
    assert len(came) == 250 - lost + doubled
    assert came != sorted(came)
    assert pipe.counts["datagram_walled"] == 1
    assert b"never" not in came
