"""Where a gateway is, as people write it: its base URL, or the one-time login link that it printed. Pure text work."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, urlsplit

DEFAULT_PLACE: Final = "http://127.0.0.1:8080"
LOGIN_PATH: Final = "/login"
_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_PORTS: Final = {"http": 80, "https": 443}
LONGEST: Final = 2_048


class PlaceError(ValueError):
    """A text that names no gateway: which part is wrong, and what would be right. Never quotes a login token."""


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """One gateway."""

    base: str
    """`http://host:port` or `https://host:port`, without a path."""
    token: str | None = field(default=None, repr=False)
    """Of a one-time login link."""

    @property
    def stream(self) -> str:
        """The URL of its stream."""
        return f"ws{self.base.removeprefix('http')}/ws"

    @property
    def name(self) -> str:
        """What to show: host and port."""
        return self.base.partition("://")[2]

    @property
    def is_private(self) -> bool:
        """Whether what is said on the way stays between the two: TLS, or this machine alone."""
        return self.base.startswith("https:") or _is_loopback(urlsplit(self.base).hostname or "")


def parse_place(text: str) -> GatewayPlace:
    """The gateway that a URL names. Raises PlaceError."""
    if len(text) > LONGEST or not text.isprintable() or any(character.isspace() for character in text):
        raise PlaceError(f"expected a URL of printable characters, {LONGEST} at most, such as {DEFAULT_PLACE}")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise PlaceError(f"is no URL ({error}); expected one such as {DEFAULT_PLACE}") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise PlaceError(f"expected a URL such as {DEFAULT_PLACE}, with http, https, ws or wss and a host")
    if parts.username is not None:
        raise PlaceError("holds a name or password; give an API key in a file instead, since URLs are logged")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return GatewayPlace(f"{scheme}://{host}:{port or _PORTS[scheme]}", _token(parts.path, parts.query))


def _token(path: str, query: str) -> str | None:
    if path in ("", "/") and not query:
        return None
    tokens = parse_qs(query).get("token", [])
    if path != LOGIN_PATH or len(tokens) != 1:
        raise PlaceError("has a path; expected the gateway's address alone, or the login link as it printed it")
    return tokens[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
