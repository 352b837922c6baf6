"""A gateway's stream over a websocket that is dialled again whenever it ends, and its REST beside it.

Who asks is proven by an API key, or by a session that the one-time login link begins; neither is ever put into a URL.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Origin

from gateway.access import COOKIE
from gateway.client import LARGEST_MESSAGE, Connected, Notice, StreamClient, StreamProtocolError
from gateway.place import GatewayPlace
from runtime.backoff import Backoff

OPEN_S: Final = 5.0
"""A connection that is not open after this is tried anew, s."""
HEARTBEAT_S: Final = 2.0
"""A ping goes out so often, s: its answer says that nothing newer is on its way, however quiet the market is."""
SILENCE_S: Final = 10.0
"""A ping without an answer for so long: the connection is dead, whatever the system says, s."""
UNAUTHORISED: Final = frozenset({401, 403})
POLICY: Final = 1008
"""RFC 6455 §7.4.1: how a gateway ends what it does not allow."""


class ClientError(Exception):
    """The gateway cannot be listened to."""


class AccessDeniedError(ClientError):
    """It does not let us in; trying again would not help."""


class UnreachableError(ClientError):
    """Nothing answers there, or something else than a gateway."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended or could not be opened: why, and when the next one is tried."""

    why: str
    retry_s: float


Report: TypeAlias = Notice | Lost


class GatewayClient:
    """One gateway, listened to until it is told to stop. Create it in the loop; `close` it at the end."""

    def __init__(
        self,
        place: GatewayPlace,
        *,
        api_key: str | None,
        on_report: Callable[[Report], None],
        rng: random.Random,
        core: StreamClient | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """`on_report` is called in the loop with everything that is heard, in order."""
        self.place = place
        self.core = core or StreamClient()
        self.on_heard: Callable[[], None] = lambda: None
        """Called when the gateway proved that it has nothing newer for us than what it sent."""
        self._report, self._rng = on_report, rng
        self._backoff = backoff or Backoff()
        self._token = place.token
        self._http = httpx.AsyncClient(
            base_url=place.base,
            headers={"Origin": place.base} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=OPEN_S,
            trust_env=False,  # a proxy of the environment is no place for a key, nor for loopback
        )
        self._writer: ClientConnection | None = None

    # -- REST

    async def get(self, path: str) -> httpx.Response:
        """Ask REST for what is under `/api/v1/`. Raises AccessDeniedError, UnreachableError; other statuses are the caller's."""
        try:
            answer = await self._http.get(f"/api/v1/{path}")
        except httpx.HTTPError as error:
            raise UnreachableError(f"{self.place.name}: {_said(error)}") from error
        if answer.status_code in UNAUTHORISED:
            raise AccessDeniedError(_denied(self.place, answer.status_code))
        return answer

    async def login(self) -> None:
        """Exchange the login link for a session, once. Raises AccessDeniedError, UnreachableError."""
        if self._token is None:
            return
        try:
            answer = await self._http.post("/api/v1/login/link", json={"token": self._token})
        except httpx.HTTPError as error:
            raise UnreachableError(f"{self.place.name}: {_said(error)}") from error
        if not answer.is_success or not any(COOKIE in name for name in answer.cookies):
            raise AccessDeniedError(
                f"{self.place.name} does not take this login link ({answer.status_code}): it works once and for an hour."
                " Ask for a new one with `etp gateway link`, or use an API key"
            )
        self._token = None

    # -- the stream

    async def run(self) -> None:
        """Listen, and dial again whenever the connection ends. Raises AccessDeniedError."""
        attempt = 0
        while True:
            try:
                await self.login()
                why, lasted = await self._listen()
            except UnreachableError as error:
                why, lasted = str(error), False
            attempt = 0 if lasted else attempt + 1
            delay_s = self._backoff.delay_s(attempt, self._rng)
            self._report(Lost(why, delay_s))
            await asyncio.sleep(delay_s)

    async def listen_once(self) -> None:
        """One connection, to its end. Raises AccessDeniedError, UnreachableError."""
        await self.login()
        why, _ = await self._listen()
        raise UnreachableError(f"{self.place.name}: {why}")

    async def request_snapshot(self) -> None:
        """Ask what is true now, where there is a connection."""
        if self._writer is not None:
            self.core.request_snapshot()
            with suppress(ConnectionClosed):
                await self._flush(self._writer)

    async def close(self) -> None:
        """Let go of everything."""
        if self._writer is not None:
            await self._writer.close()
        await self._http.aclose()

    async def _listen(self) -> tuple[str, bool]:
        """Why a connection ended, and whether it had worked."""
        self.core.connected()
        try:
            websocket = await self._dial()
            async with websocket:
                self._writer = websocket
                heart = asyncio.create_task(self._beat(websocket))
                try:
                    return await self._read(websocket), self.core.in_step
                finally:
                    self._writer = None
                    heart.cancel()
                    await asyncio.wait({heart})  # to await it alone would take our own cancellation for its
        except StreamProtocolError as error:
            return str(error), False

    async def _dial(self) -> ClientConnection:
        try:
            return await connect(
                self.place.stream,
                additional_headers=self._proof(),
                origin=Origin(self.place.base),
                open_timeout=OPEN_S,
                close_timeout=1.0,
                ping_interval=None,  # _beat does, and tells when the answer comes
                max_size=LARGEST_MESSAGE,
                compression=None,
                proxy=None,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status in UNAUTHORISED:
                raise AccessDeniedError(_denied(self.place, status)) from error
            raise UnreachableError(f"{self.place.name} answers {status}, so there is no stream") from error
        except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
            raise UnreachableError(f"{self.place.name}: {_said(error)}") from error

    def _proof(self) -> dict[str, str]:
        headers = {}
        if "Authorization" in self._http.headers:
            headers["Authorization"] = self._http.headers["Authorization"]
        sessions = [f"{name}={value}" for name, value in self._http.cookies.items() if COOKIE in name]
        if sessions:
            headers["Cookie"] = "; ".join(sessions)
        return headers

    async def _read(self, websocket: ClientConnection) -> str:
        welcomed = False
        try:
            while True:
                message = await websocket.recv(decode=False)
                for notice in self.core.receive(message):
                    welcomed = welcomed or isinstance(notice, Connected)
                    self._report(notice)
                self.on_heard()
                await self._flush(websocket)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            if code == POLICY and not welcomed:
                raise AccessDeniedError(_denied(self.place, code)) from closed
            return _ending(closed)

    async def _flush(self, websocket: ClientConnection) -> None:
        for message in self.core.data_to_send():
            await websocket.send(message, text=True)

    async def _beat(self, websocket: ClientConnection) -> None:
        """Ping, and say when the answer has come: what was sent before it has come, too."""
        with suppress(ConnectionClosed):
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        await (await websocket.ping())
                except TimeoutError:
                    await websocket.close()
                    return
                self.on_heard()
                await asyncio.sleep(HEARTBEAT_S)


def _denied(place: GatewayPlace, code: int) -> str:
    return (
        f"{place.name} does not let us in ({code}). Give an API key (`etp gateway key add` makes one) in a file with --key-file,"
        " or in ETP_GATEWAY_KEY; or give the login link that the gateway printed, or that `etp gateway link` prints, as URL"
    )


def _ending(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "the connection broke"
    reason = f": {closed.rcvd.reason}" if closed.rcvd.reason else ""
    return f"the gateway closed the connection ({closed.rcvd.code}{reason})"


def _said(error: BaseException) -> str:
    """The cause in words, also of errors whose text is empty."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no answer within {OPEN_S:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return str(error) or type(error).__name__
