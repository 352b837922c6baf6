"""A connection between two session cores: bytes in order, delayed, cut anywhere, in pieces of any size."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from etp.codes import Role
from etp.effects import Envelope
from etp.session import Event, Session
from etp.state import SessionState
from sim.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Weather:
    """How a link behaves. Delays in seconds."""

    delay_s: tuple[float, float] = (0.0005, 0.003)
    """Least and greatest one-way delay."""
    cut_per_packet: float = 0.0
    """Chance that the connection is cut at a packet, in mid-frame."""
    datagram_lost: float = 0.0
    """Chance that a datagram does not arrive at one of its receivers."""
    datagram_doubled: float = 0.0
    """Chance that it arrives there twice."""


class End:
    """One side of a link, as its node sees it."""

    def __init__(
        self, link: "Link", session: Session, happened: Callable[["End", Event], None], gone: Callable[["End"], None]
    ) -> None:
        self.link, self.session, self.happened, self.gone = link, session, happened, gone
        self.arrives_s = 0.0
        self.timer_s = float("inf")

    def send(self, envelope: Envelope) -> None:
        """Queue a frame; it leaves when the node's turn is over."""
        self.session.send(envelope, self.link.scheduler.now())
        self.link.flush_soon(self)

    def close(self, reason: str) -> None:
        """Finish what is queued, then close."""
        if self.session.state in (SessionState.AWAITING, SessionState.OPEN):
            self.session.finish(reason, self.link.scheduler.now())
            self.link.flush_soon(self)
            self.link.scheduler.after(0.01, self.link.cut)


class Link:
    """Two ends and the weather between them."""

    def __init__(self, scheduler: Scheduler, weather: Weather, rng: random.Random) -> None:
        self.scheduler, self._weather, self._rng = scheduler, weather, rng
        self.ends: dict[Role, End] = {}
        self.up = True
        self.packets = 0
        self.on_cut: Callable[[], None] = lambda: None

    def flush_soon(self, end: End) -> None:
        """Send what is queued, after the turn that queued it."""
        self.scheduler.after(0.0, lambda: self._flush(end))

    def _flush(self, end: End) -> None:
        data = end.session.data_to_send(self.scheduler.now())
        if not data or not self.up:
            return
        if self._rng.random() < self._weather.cut_per_packet:
            data = data[: self._rng.randrange(len(data))]
            self.scheduler.after(self._delay(), self.cut)
        peer = self.ends[end.session.role.peer]
        self.packets += 1
        peer.arrives_s = max(peer.arrives_s, self.scheduler.time_s + self._delay())
        self.scheduler.at(peer.arrives_s, lambda: self._arrive(peer, data))

    def _delay(self) -> float:
        return self._rng.uniform(*self._weather.delay_s)

    def _arrive(self, end: End, data: bytes) -> None:
        if not self.up:
            return
        end.session.receive_data(data, self.scheduler.now())
        self._turn(end)

    def _turn(self, end: End) -> None:
        for event in end.session.events(self.scheduler.now()):
            end.happened(end, event)
        if end.session.has_frame() and self.up:
            self.scheduler.after(0.0, lambda: self._turn(end))
        self.flush_soon(end)
        self.watch(end)

    def watch(self, end: End) -> None:
        """Wake up for the session's next deadline."""
        deadline = end.session.next_deadline()
        if deadline is not None and deadline < end.timer_s:
            end.timer_s = deadline
            self.scheduler.at(deadline, lambda: self._advance(end))

    def _advance(self, end: End) -> None:
        end.timer_s = float("inf")
        if not self.up:
            return
        end.session.advance(self.scheduler.now())
        if end.session.state is SessionState.CLOSED:
            self.cut()
        else:
            self.watch(end)

    def cut(self) -> None:
        """End the connection for both."""
        if not self.up:
            return
        self.up = False
        for end in self.ends.values():
            end.session.receive_eof(self.scheduler.now())
            end.gone(end)
        self.on_cut()
