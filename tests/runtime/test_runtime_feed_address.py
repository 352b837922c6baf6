"""A gateway's URL: what is dialled, what is signed for, and what is refused before anything starts."""

import pytest

from runtime.feed.address import parse_gateway, parse_gateways
from runtime.settings import SettingsError


@pytest.mark.parametrize(
    ("text", "url", "audience"),
    [
        ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/feed", "127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/feed", "127.0.0.1:8080"),
        ("https://Gateway.Example", "wss://gateway.example:443/feed", "gateway.example:443"),
        ("wss://gateway.example:8443/etp/", "wss://gateway.example:8443/etp/feed", "gateway.example:8443"),
        ("ws://gateway/feed", "ws://gateway:80/feed", "gateway:80"),
        ("ws://[::1]:8080", "ws://[::1]:8080/feed", "[::1]:8080"),
    ],
)
def test_what_is_dialled(text: str, url: str, audience: str) -> None:
    """The scheme says whether it is encrypted, the port has its usual default, a path of a proxy is kept."""
    found = parse_gateway(text)
    assert (found.name, found.url, found.audience, found.is_encrypted) == (text, url, audience, url.startswith("wss"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "gateway:8080", "ftp://gateway", "ws://", "ws://:8080", "ws://gateway:0", "ws://gateway:65536"),
        *("ws://gateway:x", "ws://[::1", "ws://gate way", "ws://gateway\n", "unix:///tmp/x", "//gateway:1"),
    ],
)
def test_what_is_no_gateway(text: str) -> None:
    """The message names the setting and what would be right."""
    with pytest.raises(SettingsError, match="expected ws://HOST:PORT"):
        parse_gateway(text)


@pytest.mark.parametrize("text", ["ws://me:secret@gateway:1", "wss://gateway:1/?key=secret", "wss://gateway:1/#secret"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    """It would end in a log."""
    with pytest.raises(SettingsError) as found:
        parse_gateway(text)
    assert "secret" not in str(found.value)


def test_each_gateway_once_and_not_too_many() -> None:
    """The same one in two spellings is one."""
    with pytest.raises(SettingsError, match="twice"):
        parse_gateways(["ws://gateway:80", "http://gateway/"])
    with pytest.raises(SettingsError, match="at most 8"):
        parse_gateways([f"ws://gateway:{port}" for port in range(1, 10)])
    assert [each.audience for each in parse_gateways(["ws://a:1", "ws://b:1"])] == ["a:1", "b:1"]
