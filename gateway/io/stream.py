"""The stream's shell, `/ws`: sockets and the clock around `gateway.hub`."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocket

from etp.clock import Now
from gateway.access import Principal
from gateway.events import Event
from gateway.hub import Action, Client, Close, Hub, Send
from gateway.io.access import LOGIN_HINT, Access
from gateway.io.connection import LINE, POLICY, Websocket, text_frame
from gateway.io.database import said
from gateway.limits import Limits, Timing
from gateway.problem import ProblemError


def _nothing(_: bool) -> bytes:
    raise AssertionError("the stream has no world yet")


class Stream:
    """Everybody who watches."""

    def __init__(self, access: Access, limits: Limits, timing: Timing, *, clock: Callable[[], Now]) -> None:
        self.hub = Hub(limits, timing)
        self.snapshot: Callable[[bool], bytes] = _nothing
        """A message with the Snapshot at the hub's seq, by its `gap`."""
        self.sent_frames = self.sent_bytes = self.events = 0
        self._access, self._timing, self._clock = access, timing, clock
        self._lines: dict[Client, Websocket] = {}
        self._who: dict[Client, Principal] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger()
        access.on_revoked = self.revoked

    def publish(self, events: Sequence[Event]) -> None:
        """Events, in order of seq: they leave with the next batch."""
        self.events += len(events)
        self.hub.publish(events)
        self._arm()

    def skipped(self, seq: int) -> None:
        """Events were missed: everybody is told of a gap."""
        self.hub.skipped(seq, self._clock().monotonic_s)
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self.hub.waits:
            self._timer = asyncio.get_running_loop().call_later(self._timing.batch_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        self._do(self.hub.tick(now.monotonic_s, self._waiting, self.snapshot))
        self._arm()

    def _waiting(self, client: Client) -> int:
        return self._lines[client].waiting()

    def _do(self, actions: Sequence[Action]) -> None:
        frames: dict[int, bytes] = {}  # by the text's identity: who gets the same text shares the same frame
        for action in actions:
            match action:
                case Send(text, to):
                    frame = frames.get(id(text)) or frames.setdefault(id(text), text_frame(text))
                    self.sent_frames += len(to)
                    self.sent_bytes += len(frame) * len(to)
                    for client in to:
                        self._lines[client].write(frame)
                case Close(client, code, reason):
                    self._end(client, code, reason)

    def _end(self, client: Client, code: int, reason: str) -> None:
        who = self._who.get(client)
        self._log.info("stream_closed", code=code, reason=reason, who=who.name if who else None, kind=str(code))
        self._lines[client].end(code, reason)

    async def serve(self, websocket: WebSocket) -> None:
        """One client. Raises ProblemError before it is accepted."""
        principal = await self._access.principal(websocket)
        if principal is None:
            raise ProblemError(401, f"nobody is logged in: {LOGIN_HINT}")
        await websocket.accept()
        line: Websocket = websocket.scope[LINE]
        line.narrow()
        client, greeting = self.hub.joined(self._clock().monotonic_s)
        self._lines[client], self._who[client] = line, principal
        try:
            line.write(text_frame(greeting))
            await self._listen(websocket, client)
        finally:
            self.hub.left(client)
            del self._lines[client], self._who[client]

    async def _listen(self, websocket: WebSocket, client: Client) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            data: bytes | str = text if text is not None else message.get("bytes") or b""
            self._do(self.hub.heard(client, data, self._clock().monotonic_s))
            self._arm()

    # -- who may still watch

    def revoked(self, gone: Callable[[Principal], bool]) -> None:
        """End the websockets of principals that are no longer."""
        for client, principal in list(self._who.items()):
            if gone(principal):
                self._end(client, POLICY, "the login or key behind this connection has ended")

    async def recheck(self, stopping: asyncio.Event) -> None:
        """Look up the accounts behind open connections now and then, since another process may revoke them too."""
        while not stopping.is_set():
            try:
                await asyncio.wait_for(stopping.wait(), self._timing.recheck_s)
            except TimeoutError:
                await self._recheck()

    async def _recheck(self) -> None:
        for principal in set(self._who.values()):
            try:
                ended = not await self._access.still(principal)
            except (SQLAlchemyError, OSError) as error:  # a database that is away for a moment has revoked nobody
                self._log.warning("accounts_not_rechecked", kind="database", error=said(error))
                return
            if ended:
                self.revoked(principal.__eq__)
