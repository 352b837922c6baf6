"""Who may ask, from where, and who may listen where: decisions only, on values that the shell brings.

Secrets are 32 random bytes as URL-safe base64; what is stored is their SHA-256, which nobody can guess back, so no slow
hash is needed. Passwords are another matter (`gateway.io.passwords`).
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote_plus, urlsplit

from gateway.limits import Timing
from gateway.settings import GatewaySettings, check_files
from runtime.settings import SettingsError, parse_address

RoleName: TypeAlias = Literal["viewer", "admin"]
Via: TypeAlias = Literal["session", "api_key", "open"]
ROLES: Final[tuple[RoleName, ...]] = ("viewer", "admin")
COOKIE: Final = "etp_session"
"""In the name of a session's cookie: `Asker.cookie`."""
NOBODY: Final = "-"
"""Of whom the audit log speaks where it is no account: no account can be called so."""
LOCAL_USER: Final = "local"
"""Whom the one-time link of a first start logs in."""
SECRET_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
LONGEST_TOKEN: Final = 128
LEAST_PASSWORD: Final = 12
"""NIST SP 800-63B asks for 8 beside a second factor, and 15 alone; length counts, kinds of characters do not."""
LONGEST_PASSWORD: Final = 256
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_KEY: Final = re.compile(r"etp_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_SECRET_NAMES: Final = frozenset({"token", "key", "api_key", "apikey", "access_token", "auth", "authorization"}) | {
    "password", "session", "secret",
}  # fmt: skip
_PORTS: Final = {"http": 80, "https": 443}
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    role: RoleName
    via: Via
    handle: bytes = b""
    """The hash of the session, or the key's id: what is looked up again while a websocket is open."""

    @property
    def is_admin(self) -> bool:
        """Whether accounts are this one's business."""
        return self.role == "admin"

    @property
    def noted(self) -> str:
        """As the audit log has it: a key by its id, since names of keys are not unique and may be somebody's own."""
        return f"key:{self.handle.decode()} {self.name}" if self.via == "api_key" else self.name


# -- secrets


def text_of(secret: bytes) -> str:
    """A secret as it is shown once."""
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def stored(token: str) -> bytes:
    """What is kept of a token."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def api_key(key_id: bytes, secret: bytes) -> str:
    """A key as its program sends it."""
    return f"etp_{key_id.hex()}_{text_of(secret)}"


def parse_api_key(text: str) -> tuple[str, str] | None:
    """(key id, secret) of a key; None: it is none."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def bearer(authorization: str | None) -> str | None:
    """What an Authorization header bears; None: nothing."""
    scheme, _, text = (authorization or "").strip().partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def cookie_in(headers: Iterable[str], name: str) -> str | None:
    """The value of a cookie in Cookie headers; None: there is none. The others are not looked at: a stranger sends thousands."""
    for part in ";".join(headers).split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            return value.strip()
    return None


def names_a_secret(path: str, query: str) -> str | None:
    """What a URL has that must not be in one, since URLs are logged and shared; None: nothing. `/login?token=` may."""
    if _KEY.search(unquote_plus(f"{path}?{query}")):
        return "an API key"
    for part in query.split("&"):
        name = unquote_plus(part.partition("=")[0]).lower()
        if (name in _SECRET_NAMES or COOKIE in name) and not (path == "/login" and name == "token"):
            return repr(name)
    return None


# -- accounts


def wrong_name(name: str) -> str | None:
    """Why a name of an account or key cannot be; None: it can."""
    if _NAME.fullmatch(name):
        return None
    return f"name is {name[:64]!r}: expected 1 to 64 of A–Z, a–z, 0–9, and . _ @ - after the first"


def wrong_password(name: str, password: str) -> str | None:
    """Why a password cannot be; None: it can. It is not repeated in the answer."""
    if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"password has {len(password)} characters: expected {LEAST_PASSWORD} to {LONGEST_PASSWORD}"
    if len(set(password)) <= 2 or password.lower() == name.lower():  # noqa: PLR2004 - one or two characters repeated
        return "password is too easy to guess: expected one of several words"
    return None


def session_ends_us(created_us: int, used_us: int, timing: Timing) -> int:
    """When a session is over: unused for a time, or too old."""
    return min(used_us + round(timing.session_idle_s * _US), created_us + round(timing.session_s * _US))


# -- where a request comes from


class Asker(NamedTuple):
    """A request's origin as it reached us, or as a trusted proxy tells it."""

    address: str
    scheme: Literal["http", "https"]
    host: str
    """The Host header, lower case."""
    is_local: bool
    """From this machine, by a name of this machine: no other site's page, no proxy's client."""

    @property
    def own_origin(self) -> str:
        """The origin of pages that this gateway serves under that name."""
        return f"{self.scheme}://{self.host}"

    @property
    def cookie(self) -> str:
        """The name of a session's cookie, by the origin that the browser sees.

        Cookies of one host go to all its ports, so that the port is part of it: two gateways of one machine do not end each
        other's sessions. By https a browser takes the prefix from this very host alone (RFC 6265bis §4.1.3.2), not from a
        sibling of its domain that would have somebody work in its own session.
        """
        port = port_of(self.host)
        place = "" if port in (None, _PORTS[self.scheme]) else f"_{port}"
        return f"{'__Host-' if self.scheme == 'https' else ''}{COOKIE}{place}"

    @property
    def network(self) -> str:
        """Whose rate this counts for."""
        return network_of(self.address)


def network_of(address: str) -> str:
    """Whose an address is: itself, or an IPv6 /64, which is one customer's."""
    if ":" not in address:
        return address
    found = _parsed(address.partition("%")[0])
    return str(found if found.version == 4 else ip_network(f"{found}/64", strict=False))  # noqa: PLR2004 - IPv4


def _parsed(text: str) -> IPv4Address | IPv6Address:
    """An address; an IPv4 one that is written as IPv6 (::ffff:1.2.3.4) is the IPv4 one. Raises ValueError."""
    found = ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback_address(address: str) -> bool:
    """Whether it is this machine itself."""
    try:
        return _parsed(address).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


def is_proxy(address: str, proxies: Sequence[str]) -> bool:
    """Whether an address is a proxy that we were told to believe."""
    try:
        found = _parsed(address)
    except ValueError:
        return False
    return any(found in network for network in _networks(tuple(proxies)))


def is_forwarded(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request says that it came through a proxy."""
    return any(name in (b"forwarded", b"via") or name.startswith(b"x-forwarded-") for name in headers)


def asker(peer: str, *, tls: bool, headers: Mapping[bytes, bytes], proxies: Sequence[str]) -> Asker:
    """Who asks. X-Forwarded-* are believed of a known proxy alone, and of X-Forwarded-For only what it wrote itself.

    The name is always Host: a proxy that sets no X-Forwarded-Host passes its client's on. Through a proxy that we do not
    know nobody is of this machine.

    Raises ValueError for a request through a proxy that does not say that its client spoke TLS.
    """
    host = headers.get(b"host", b"").decode("latin-1").strip().lower()
    if not is_proxy(peer, proxies):
        scheme: Literal["http", "https"] = "https" if tls else "http"
        is_local = is_loopback_address(peer) and is_loopback_host(host) and not is_forwarded(headers)
        return Asker(peer, scheme, host, is_local)
    if headers.get(b"x-forwarded-proto", b"").strip().lower() != b"https":
        raise ValueError("the proxy must send X-Forwarded-Proto: https")
    chain = (part.strip() for part in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")))
    client = next((part for part in chain if part and not is_proxy(part, proxies)), peer)
    try:
        client = str(_parsed(client.strip("[]")))
    except ValueError:
        client = peer  # some write a port or "unknown": the proxy itself is answerable then
    return Asker(client, "https", host, is_local=False)


def host_name(host: str) -> str:
    """A Host header without its port; empty: it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def port_of(host: str) -> int | None:
    """The port of a Host header; None: it names none."""
    try:
        return urlsplit(f"//{host}").port
    except ValueError:
        return None


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine itself: a name that no DNS server can point here."""
    name = host_name(host)
    return name == "localhost" or is_loopback_address(name)


def host_allowed(host: str, *, loopback: bool, origins: Iterable[str], from_here: bool = False, own: str = "") -> bool:
    """Whether a request may name us so. `from_here`: its peer is this machine; `own`: the address at which it reached us.

    On loopback only by names of this machine, or ones that we were given: a page of another site whose name its owner
    points at 127.0.0.1 (DNS rebinding) shares our origin otherwise. Beyond it, once names were given, by those or our address.
    """
    name, given = host_name(host), {urlsplit(origin).hostname for origin in origins}
    if not name:
        return False
    if name in given:
        return True
    if is_loopback_host(host):
        return loopback or from_here or not given
    return not loopback and (not given or name == own)


def audiences(origins: Iterable[str]) -> frozenset[str]:
    """HOST:PORT of the origins that we were given: the names that a node's proof may be for."""
    found = set[str]()
    for origin in origins:
        parts = urlsplit(origin)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        found.add(f"{host}:{parts.port or _PORTS[parts.scheme]}")
    return frozenset(found)


def origin_allowed(origin: str, asked: Asker, origins: Iterable[str]) -> bool:
    """Whether a page of this origin may do what its user may: our own pages, and those that we were given."""
    return origin.lower() == asked.own_origin or origin.lower() in origins


# -- who may listen where


def is_exposed(settings: GatewaySettings) -> bool:
    """Whether others than this machine's users can reach the gateway."""
    host, _ = parse_address("listen", settings.listen)
    return not is_loopback_address(host) or bool(settings.behind_proxy)


def check_listen(settings: GatewaySettings) -> tuple[str, int]:
    """Where to listen. Raises SettingsError where that is beyond loopback without TLS, or open to everybody."""
    host, port = parse_address("listen", settings.listen)
    check_files(settings)
    try:
        audiences(settings.origins)
    except ValueError as error:
        raise SettingsError("origins", settings.origins, f"expected SCHEME://HOST[:PORT]: {error}") from error
    others = [origin for origin in settings.origins if not is_loopback_host(urlsplit(origin).netloc)]
    if settings.open and others:
        raise SettingsError(
            "open",
            True,
            f"everybody may watch on loopback only, and {others[0]} is elsewhere: drop --open or --origins",
        )
    if not is_exposed(settings):
        return host, port
    if settings.open:
        raise SettingsError(
            "open", True, "everybody may watch on loopback only: drop --open and give accounts (etp gateway user add)"
        )
    if settings.tls_cert is None and not settings.behind_proxy:
        raise SettingsError(
            "listen",
            settings.listen,
            "passwords would cross the network in clear: give --tls-cert and --tls-key, or --behind-proxy with the"
            " address of a proxy that speaks TLS, or listen on loopback (127.0.0.1)",
        )
    return host, port


def check_accounts(settings: GatewaySettings, accounts: int) -> None:
    """Raises SettingsError where others can reach a gateway that has no account with a password."""
    if is_exposed(settings) and accounts == 0:
        raise SettingsError(
            "listen",
            settings.listen,
            "others can reach it and nobody could log in: make an account first (etp gateway user add NAME --role"
            " admin, with the same --database or --state-dir)",
        )
