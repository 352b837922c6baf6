"""A connection between two session cores: bytes in order, delayed, cut anywhere, in pieces of any size, read slowly."""

from typing import TYPE_CHECKING, Any

from etp.clock import Now
from etp.effects import Envelope
from etp.session import PREFIX_SIZE, Session
from etp.state import SessionState
from etp.units import DeviceId
from sim.network import WINDOW, Network

if TYPE_CHECKING:
    from sim.node import Node

_ALIVE = (SessionState.AWAITING, SessionState.OPEN)


class End:
    """One side of a link, as its node has it: a socket and the session core behind it."""

    __slots__ = (
        "address",
        "arrives_s",
        "dirty",
        "host",
        "inbox",
        "link",
        "node",
        "peer",
        "room",
        "session",
        "slow",
        "stuck",
        "timer_s",
        "up",
    )

    peer: "End"

    def __init__(self, link: "Link", node: "Node[Any]", session: Session) -> None:
        self.link, self.node, self.session, self.host = link, node, session, node.host
        self.up, self.dirty, self.slow, self.stuck = True, False, False, False
        self.room = node.limits.queued_frames
        self.arrives_s, self.timer_s = 0.0, float("inf")
        self.address = ""
        """Whose place it has in the battery's roster."""
        self.inbox: list[bytes | None] = []
        """What a slow reader has not read."""

    @property
    def peer_id(self) -> DeviceId:
        """The device at the other end, whether it has said so or not."""
        return self.peer.node.device_id

    # -- out

    def send(self, envelope: Envelope, now: Now) -> None:
        """Queue a frame; it leaves when the node's turn is over."""
        self.session.send(envelope, now)
        if len(self.session.queue) > self.room:
            self.node.overfull(self.session)
        if not self.dirty:
            self.dirty = True
            self.node.dirty.append(self)

    def finish(self, reason: str, now: Now) -> None:
        """Close once what is queued is out."""
        if self.session.state in _ALIVE:
            self.session.finish(reason, now)
            if not self.dirty:
                self.dirty = True
                self.node.dirty.append(self)

    def flush(self, now: Now) -> None:
        """What is queued leaves, as far as the peer's socket takes it; what is to be closed is closed."""
        session, peer = self.session, self.peer
        if not self.up:
            return
        if peer.slow and sum(len(data or b"") for data in peer.inbox) >= WINDOW:
            self.stuck = True
            return
        data = session.data_to_send(now)
        if data:
            if self.node.bends:
                data = self.node.leaving(self, data)
            if data:
                self.put(data)
        state = session.state
        if state is not SessionState.OPEN and state is not SessionState.AWAITING:
            self.close(now)

    def put(self, data: bytes) -> None:
        """Bytes leave the node."""
        network = self.link.network
        told = network.told
        if told is not None:
            packet = PREFIX_SIZE + self.node.profile.size
            sender, receiver, now_s = self.node.device_id, self.peer_id, network.scheduler.time_s
            for at in range(PREFIX_SIZE, len(data), packet):
                told(sender, receiver, data[at : at - PREFIX_SIZE + packet], now_s)
        network.carry(self, data)

    def close(self, now: Now) -> None:
        """Close our side; the other one reads an end of file behind what was sent."""
        if self.up:
            self.link.network.carry(self, None)
            self._down(now)

    def vanish(self) -> None:
        """Our process is gone, and with it the socket."""
        self.up = False

    def _down(self, now: Now) -> None:
        self.up = False
        self.session.receive_eof(now)
        self.node.gone(self, now)

    # -- in

    def arrive(self, data: bytes | None) -> None:
        """Bytes, or the end of the connection."""
        if not self.up:
            return
        if self.slow:
            self.inbox.append(data)
            return
        now = self.node.clock.now()
        if data is None:
            self._down(now)
            self.node.turned(now)
            return
        self.session.receive_data(data, now)
        self._turn(now)

    def _turn(self, now: Now) -> None:
        session, node = self.session, self.node
        happened = node.happened
        for event in session.events(now):
            happened(self, event, now)
            if not self.up:
                break
        if self.up:
            if session.has_frame():
                scheduler = node.scheduler
                scheduler.call(scheduler.time_s, self._again, None)
            if not self.dirty:
                self.flush(now)
            if session.deadline < self.timer_s:
                self.arm()
        node.turned(now)

    def _again(self, _: None) -> None:
        if self.up:
            self._turn(self.node.clock.now())

    def read_on(self) -> None:
        """A slow reader reads again: all that waits, and its peer sends what it held back."""
        self.slow = False
        waiting, self.inbox = self.inbox, []
        for data in waiting:
            self.arrive(data)
        if self.peer.stuck:
            self.peer.stuck = False
            self.peer.flush(self.peer.node.clock.now())

    # -- time

    def arm(self) -> None:
        """Wake up for the session's deadline; one that is put off is looked at again when the earlier timer fires."""
        deadline = self.session.next_deadline()
        if deadline is not None and deadline < self.timer_s:
            self.timer_s = deadline
            self.node.scheduler.call(self.node.clock.true_s(deadline), self._wake, deadline)

    def _wake(self, deadline: float) -> None:
        if not self.up or self.timer_s != deadline:
            return
        self.timer_s = float("inf")
        now = self.node.clock.now()
        self.session.advance(now)
        if self.session.state is SessionState.CLOSED:
            self.close(now)
            self.node.turned(now)
        else:
            self.arm()


class Link:
    """Two ends and the network between them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.broken = False
        """Nothing that is sent from now on arrives."""
        self.ends: tuple[End, ...] = ()

    def join(self, first: End, second: End) -> None:
        """Both ends are there."""
        self.ends = (first, second)
        first.peer, second.peer = second, first
        first.arm()
        second.arm()

    def cut(self) -> None:
        """The connection breaks; each end learns of it when it does."""
        if self.broken:
            return
        self.network.counts["connection_cut"] += 1
        for end in self.ends:
            self.network.hang_up(end)
        self.broken = True
