"""Where a gateway is: its URL as it was given, and what is dialled and signed for."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from runtime.feed.wire import PATH
from runtime.settings import SettingsError

SCHEMES: Final = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
PORTS: Final = {"ws": 80, "wss": 443}
MOST_GATEWAYS: Final = 8
"""Each costs a connection and up to 2 MB; for more readers a gateway has its stream."""
RIGHT: Final = (
    "expected ws://HOST:PORT or wss://HOST:PORT (http and https mean the same), with nothing else than a path"
)


class GatewayAddress(NamedTuple):
    """One gateway."""

    name: str
    """As it was given: in the log and in the metrics."""
    url: str
    """What is dialled."""
    audience: str
    """HOST:PORT: a proof for this gateway is none for another."""

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read or change what is said."""
        return self.url.startswith("wss:")


def parse_gateways(texts: Sequence[str]) -> list[GatewayAddress]:
    """The gateways in a setting. Raises SettingsError: which one, and what would be right."""
    if len(texts) > MOST_GATEWAYS:
        raise SettingsError("gateway", f"{len(texts)} URLs", f"at most {MOST_GATEWAYS}")
    found: dict[str, GatewayAddress] = {}
    for text in texts:
        address = parse_gateway(text)
        if address.url in found:
            raise SettingsError("gateway", text, "is given twice; each gateway is told everything once")
        found[address.url] = address
    return list(found.values())


def parse_gateway(text: str) -> GatewayAddress:
    """One gateway. Raises SettingsError."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise SettingsError("gateway", text, RIGHT) from error
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or not host or port == 0 or any(each.isspace() or not each.isprintable() for each in text):
        raise SettingsError("gateway", text, RIGHT)
    if parts.username is not None or parts.query or parts.fragment:
        # A secret in a URL ends in logs and process lists; a node proves itself with its key.
        raise SettingsError("gateway", f"{parts.scheme}://{host}", f"{RIGHT}; no user, password, ? or #")
    host = f"[{host}]" if ":" in host else host
    audience = f"{host}:{port or PORTS[scheme]}"
    return GatewayAddress(text, f"{scheme}://{audience}{parts.path.rstrip('/').removesuffix(PATH)}{PATH}", audience)
