"""Who may ask and who may listen where: the rules, then logins, sessions, keys and links against a running gateway."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from websockets.exceptions import ConnectionClosed, InvalidStatus

from etp.units import MonotonicS
from gateway import access
from gateway.access import (
    Asker,
    asker,
    audiences,
    check_accounts,
    check_listen,
    cookie_in,
    host_allowed,
    names_a_secret,
)
from gateway.io.accounts import Accounts
from gateway.limits import Limits, Timing
from gateway.problem import ProblemError
from gateway.rates import Rates
from gateway.settings import GatewaySettings
from runtime.settings import SettingsError
from tests.gateway.whole import Running, serving, until

PASSWORD = "four words and a comma"
TLS = {"tls_cert": Path("c"), "tls_key": Path("k")}


@pytest.mark.parametrize(
    ("settings", "accounts", "wrong"),
    [
        ({}, 0, None),
        ({"open": True}, 0, None),
        ({"listen": "0.0.0.0:80"}, 1, "TLS"),
        ({"listen": "192.168.1.2:80"}, 1, "TLS"),
        ({"listen": "0.0.0.0:80", **TLS}, 0, "account"),
        ({"listen": "0.0.0.0:80", **TLS}, 1, None),
        ({"listen": "0.0.0.0:80", **TLS, "open": True}, 1, "loopback only"),
        ({"listen": "0.0.0.0:80", "behind_proxy": ["10.0.0.2"]}, 1, None),
        ({"listen": "127.0.0.1:80", "behind_proxy": ["127.0.0.1"]}, 0, "account"),
        ({"listen": "127.0.0.1:80", "behind_proxy": ["127.0.0.1"], "open": True}, 1, "loopback only"),
        ({"tls_cert": Path("c")}, 0, "both or neither"),
        ({"open": True, "origins": ["https://market.example"]}, 0, "market.example is elsewhere"),
        ({"open": True, "origins": ["http://localhost:5173"]}, 0, None),
        ({"origins": ["https://market.example:x"]}, 0, "origins"),
    ],
)
def test_who_may_listen_where(settings: dict[str, object], accounts: int, wrong: str | None) -> None:
    """Beyond loopback only with TLS and accounts; the refusal says what to do."""
    chosen = GatewaySettings.model_validate(settings)
    if wrong is None:
        check_listen(chosen)
        check_accounts(chosen, accounts)
        return
    with pytest.raises(SettingsError, match=wrong):  # noqa: PT012 - one or the other
        check_listen(chosen)
        check_accounts(chosen, accounts)


@pytest.mark.parametrize(
    ("host", "loopback", "origins", "allowed"),
    [
        ("127.0.0.1:8080", True, [], True),
        ("localhost:9000", True, [], True),
        ("[::1]:8080", True, [], True),
        ("evil.example", True, [], False),
        ("localhost.evil.example", True, [], False),
        ("127.0.0.1.evil.example:8080", True, [], False),
        ("10.0.0.1", True, [], False),
        ("", True, [], False),
        ("[", True, [], False),
        ("market.example", True, ["https://market.example"], True),
        ("market.example", False, [], True),
        ("market.example", False, ["https://market.example"], True),
        ("10.0.0.1:80", False, ["https://market.example"], True),
        ("203.0.113.9:443", False, ["https://market.example"], False),
        ("127.0.0.1:8080", False, ["https://market.example"], False),
        ("localhost", False, ["https://market.example"], False),
        ("evil.example", False, ["https://market.example"], False),
    ],
)
def test_names_of_this_machine(host: str, loopback: bool, origins: list[str], allowed: bool) -> None:
    """On loopback no name that a stranger's DNS can point here."""
    assert host_allowed(host, loopback=loopback, origins=origins, own="10.0.0.1") is allowed


def test_names_of_this_machine_are_for_this_machine() -> None:
    """Of a gateway that others reach too, under a name."""
    origins = ["https://market.example"]
    assert host_allowed("127.0.0.1:443", loopback=False, origins=origins, from_here=True, own="10.0.0.1")
    assert audiences([*origins, "http://a:8080", "http://a"]) == {"market.example:443", "a:8080", "a:80"}


def test_a_proxy_is_believed_only_where_it_is_known() -> None:
    """And only the address that it wrote itself; without TLS before it nothing is answered."""
    told = {b"host": b"gw", b"x-forwarded-for": b"6.6.6.6, 9.9.9.9, 10.0.0.3", b"x-forwarded-proto": b"https"}
    asked = asker("10.0.0.2", tls=False, headers=told, proxies=["10.0.0.0/24"])
    assert asked == Asker("9.9.9.9", "https", "gw", is_local=False)
    assert asker("8.8.8.8", tls=False, headers=told, proxies=["10.0.0.0/24"]).address == "8.8.8.8"
    assert not asker("127.0.0.1", tls=False, headers=told, proxies=["127.0.0.1"]).is_local
    with pytest.raises(ValueError, match="X-Forwarded-Proto"):
        asker("10.0.0.2", tls=False, headers={b"host": b"gw"}, proxies=["10.0.0.2"])
    assert (
        asker("10.0.0.2", tls=False, headers=told | {b"x-forwarded-host": b"evil"}, proxies=["10.0.0.2"]).host == "gw"
    )
    mapped = told | {b"x-forwarded-for": b"::ffff:9.9.9.9"}
    found = asker("::ffff:10.0.0.2", tls=False, headers=mapped, proxies=["10.0.0.2"])
    assert (found.address, found.network) == ("9.9.9.9", "9.9.9.9")
    garbage = told | {b"x-forwarded-for": b"<script>"}
    assert asker("10.0.0.2", tls=False, headers=garbage, proxies=["10.0.0.2"]).address == "10.0.0.2"


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"forwarded", b"via", b"x-forwarded-proto"])
def test_who_comes_through_an_unknown_proxy_is_not_of_this_machine(name: bytes) -> None:
    """Its own peer is loopback, and its Host too, as nginx sends them."""
    direct = {b"host": b"127.0.0.1:8080"}
    assert asker("127.0.0.1", tls=False, headers=direct, proxies=[]).is_local
    assert not asker("127.0.0.1", tls=False, headers=direct | {name: b"8.8.8.8"}, proxies=[]).is_local


@pytest.mark.parametrize(
    ("scheme", "host", "name"),
    [
        ("https", "market.example", "__Host-etp_session"),
        ("https", "market.example:443", "__Host-etp_session"),
        ("https", "market.example:8443", "__Host-etp_session_8443"),
        ("http", "127.0.0.1:8080", "etp_session_8080"),
        ("http", "[::1]:8081", "etp_session_8081"),
        ("http", "localhost", "etp_session"),
        ("http", "localhost:99999", "etp_session"),
    ],
)
def test_a_cookie_is_one_gateways(scheme: str, host: str, name: str) -> None:
    """Two of one machine have two; by https no sibling of the domain can set it."""
    asked = Asker("127.0.0.1", scheme, host, is_local=False)  # type: ignore[arg-type]
    assert asked.cookie == name
    assert names_a_secret("/", f"{name}=x")


def test_one_cookie_of_many() -> None:
    """By its whole name, whatever stands around it, in any of the headers."""
    assert cookie_in(["a=1; etp_session_8080=x=y ;b", "etp_session=z"], "etp_session_8080") == "x=y"
    assert cookie_in(["a=1", "b; etp_session=z"], "etp_session") == "z"
    assert cookie_in(["xetp_session=1; etp_session"], "etp_session") == ""
    assert cookie_in([], "etp_session") is None


def test_of_those_that_forwarded_a_request_the_nearest_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger writes thousands of addresses before its own; they are not looked at."""
    looked = list[str]()
    real = access.is_proxy

    def is_proxy(address: str, proxies: Sequence[str]) -> bool:
        looked.append(address)
        return real(address, proxies)

    monkeypatch.setattr(access, "is_proxy", is_proxy)
    told = {
        b"host": b"gw",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-for": b"1.1.1.1," * 1_000 + b"9.9.9.9, 10.0.0.3",
    }
    assert asker("10.0.0.2", tls=False, headers=told, proxies=["10.0.0.0/24"]).address == "9.9.9.9"
    assert looked == ["10.0.0.2", "10.0.0.3", "9.9.9.9"]


async def test_a_cookie_by_another_name_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a sibling domain could set does not count by https, nor that of the gateway at the next port."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.admin() as client:
        token = client.cookies[gateway.cookie]
        gateway.parts.settings.behind_proxy.append("127.0.0.1")
        proxied = {"X-Forwarded-Proto": "https", "Host": "localhost"}
        async with gateway.client(**proxied) as other:
            for name, status in (("etp_session", 401), (gateway.cookie, 401), ("__Host-etp_session", 200)):
                found = await other.get("/api/v1/me", headers={"Cookie": f"{name}={token}"})
                assert found.status_code == status, name


def test_one_ipv6_customer_is_one_client() -> None:
    """A /64 counts as one address: nobody has fewer."""
    first, second = (Asker(f"2001:db8::{end}", "https", "gw", is_local=False) for end in ("1", "ffff"))
    assert first.network == second.network != Asker("2001:db8:0:1::1", "https", "gw", is_local=False).network


@pytest.mark.parametrize(
    "query", ["token=x", "a=1&API_KEY=x", "x=etp_0123456789abcdef_" + "a" * 43, "Access%5Ftoken=x"]
)
def test_secrets_in_urls_are_seen(query: str) -> None:
    """Whatever they are called; `/login?token=` is the one place for one."""
    assert names_a_secret("/api/v1/trades", query)
    assert names_a_secret("/login", "token=x") is None
    assert names_a_secret("/api/v1/trades", "battery=1&cursor=abc") is None


def test_rates_are_bounded() -> None:
    """A burst, then a rate; the table forgets the longest unseen."""
    rates = Rates(per_s=1.0, burst=2, most=3)
    assert [rates.refused_s("a", MonotonicS(0.0)) for _ in range(3)] == [None, None, 1.0]
    assert rates.refused_s("a", MonotonicS(1.0)) is None
    for key in "bcdefg":
        rates.refused_s(key, MonotonicS(1.0))
    assert len(rates) == 3


async def test_a_session_from_its_link_to_its_logout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first link logs in once, without staying in a URL; the cookie is for this site's pages alone; logout ends all."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client(Origin=gateway.url) as client:
        assert (await client.get("/api/v1/me")).status_code == 401
        first = await client.get(gateway.login)
        assert (first.status_code, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "Secure" not in cookie
        assert (await client.get("/api/v1/me")).json() == {"name": "local", "role": "admin", "via": "session"}
        token = client.cookies[gateway.cookie]
        async with gateway.stream({"Cookie": f"{gateway.cookie}={token}"}) as watching:
            assert (await client.get(gateway.login)).status_code == 401, "a link works once"
            assert (await client.post("/api/v1/logout")).status_code == 204
            with pytest.raises(ConnectionClosed) as closed:
                await watching.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        async with gateway.client(Cookie=f"{gateway.cookie}={token}") as thief:
            assert (await thief.get("/api/v1/me")).status_code == 401
        done = [line["what"] for line in await _audit(gateway)]
        assert done[-5:] == ["link_made", "login", "login_failed", "logout", "key_added"]


async def _audit(gateway: Running) -> list[dict[str, str]]:
    headers = await gateway.key("admin")
    async with gateway.client(**headers) as client:
        return list(reversed((await client.get("/api/v1/audit")).json()["items"]))


async def test_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right ones log in and rotate the session; wrong ones and unknown names answer alike, and are counted."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        await gateway.parts.access.add_user("ada", "viewer", PASSWORD, by="test")
        wrong = [{"name": "ada", "password": "x"}, {"name": "bob", "password": PASSWORD}, {"name": "'", "password": ""}]
        answers = [(await client.post("/api/v1/login", json=one)) for one in wrong]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.json()["detail"] for answer in answers}) == 1
        right = {"name": "ada", "password": PASSWORD}
        assert (await client.post("/api/v1/login", json=right)).json()["role"] == "viewer"
        before = client.cookies[gateway.cookie]
        assert (await client.post("/api/v1/login", json=right)).status_code == 200
        assert client.cookies[gateway.cookie] != before
        async with gateway.client(Cookie=f"{gateway.cookie}={before}") as old:
            assert (await old.get("/api/v1/me")).status_code == 401
        assert (await client.get("/api/v1/users")).status_code == 403, "a viewer does not see accounts"
        codes = [(await client.post("/api/v1/login", json=wrong[0])).status_code for _ in range(8)]
        assert codes[-1] == 429
        assert PASSWORD not in str(await _audit(gateway))


async def test_accounts_and_keys_by_an_admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, listed without secrets, revoked: with their sessions and websockets."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.admin() as client:
        new = {"name": "ada", "password": PASSWORD, "role": "viewer"}
        assert (await client.post("/api/v1/users", json=new)).status_code == 201
        assert (await client.post("/api/v1/users", json=new)).status_code == 409
        assert (await client.post("/api/v1/users", json=new | {"name": "eve", "password": "a" * 12})).status_code == 422
        made = (await client.post("/api/v1/keys", json={"name": "grafana"})).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        async with gateway.client(**headers) as program, gateway.stream(headers) as watching:
            assert (await program.get("/api/v1/me")).json()["via"] == "api_key"
            assert (await program.post("/api/v1/keys", json={"name": "x"})).status_code == 403
            listed = (await client.get("/api/v1/keys")).text
            assert made["key_id"] in listed
            assert made["key"] not in listed
            assert (await client.delete(f"/api/v1/keys/{made['key_id']}")).status_code == 204
            assert (await program.get("/api/v1/me")).status_code == 401
            with pytest.raises(ConnectionClosed):
                await watching.recv()
        assert (await client.delete("/api/v1/users/ada")).status_code == 204
        assert (await client.delete("/api/v1/users/ada")).status_code == 404


async def test_what_another_process_revokes_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`etp gateway key revoke` writes to the database alone: the connection ends at the next look."""
    timing = Timing(recheck_s=0.1)
    async with serving(tmp_path, monkeypatch, timing=timing) as gateway:
        headers = await gateway.key()
        async with gateway.stream(headers) as watching:
            key_id = headers["Authorization"].split("_")[1]
            await gateway.parts.access.accounts.revoke_key(key_id, 1)
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionClosed):
                    await watching.recv()


async def test_sessions_end_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unused for a time, or too old."""
    timing = Timing(session_idle_s=0.3)
    async with serving(tmp_path, monkeypatch, timing=timing) as gateway, gateway.admin() as client:
        assert (await client.get("/api/v1/me")).status_code == 200
        await asyncio.sleep(0.35)
        assert (await client.get("/api/v1/me")).status_code == 401
    day_us = 86_400_000_000
    assert access.session_ends_us(0, 6 * day_us + 23 * day_us // 24, Timing()) == 7 * day_us


async def test_open_lets_everybody_watch_and_nobody_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback, by wish."""
    async with serving(tmp_path, monkeypatch, open=True) as gateway, gateway.client() as client:
        assert (await client.get("/api/v1/me")).json()["via"] == "open"
        assert (await client.get("/api/v1/users")).status_code == 403
        async with gateway.stream({}) as watching:
            await watching.send('{"verb":"subscribe"}')
            await until(watching, "Subscribed")


async def test_open_is_for_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy that nobody told of, strangers see nothing; nor by a name that is not this machine's."""
    async with serving(tmp_path, monkeypatch, open=True) as gateway, gateway.client() as client:
        for path in ("/api/v1/me", "/metrics"):
            found = await client.get(path, headers={"X-Forwarded-For": "8.8.8.8"})
            assert found.status_code == 403
            assert "--behind-proxy" in found.json()["detail"]
        gateway.parts.settings.origins.append("https://market.example")
        named = await client.get("/api/v1/me", headers={"Host": "market.example"})
        assert named.status_code == 401


async def test_no_address_locks_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own attempts are used up, not those of the name; refusals are not all written down."""
    async with serving(tmp_path, monkeypatch) as gateway:
        access = gateway.parts.access
        await access.add_user("ada", "viewer", PASSWORD, by="test")
        bad, ada = (Asker(address, "https", "gw", is_local=False) for address in ("9.9.9.9", "9.9.9.8"))
        statuses = list[int]()
        for _ in range(15):
            with pytest.raises(ProblemError) as wrong:
                await access.login("ada", "wrong", bad, None)
            statuses.append(wrong.value.status)
        assert (statuses[0], statuses[-1]) == (401, 429)
        assert await access.login("ada", PASSWORD, ada, None)
        noted = [line.what for line in await access.audited(100, None)]
        assert noted.count("login_refused") == 1


async def test_the_audit_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest lines are kept."""
    async with serving(tmp_path, monkeypatch, limits=Limits(audit_lines=3)) as gateway:
        for number in range(6):
            await gateway.parts.access.accounts.note(time_us=number, who="a", address="b", what="c")
        assert [line.time_us for line in await gateway.parts.access.audited(100, None)] == [5, 4, 3]


async def test_pages_of_other_sites_spend_no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of ours in their page is no login, and wrong links take no attempt from right ones."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        image = await client.get("/login?token=x", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"})
        assert image.status_code == 403
        codes = {(await client.get("/login?token=x")).status_code for _ in range(15)}
        assert codes == {401}
        assert (await client.get(gateway.login, headers={"Sec-Fetch-Dest": "document"})).status_code == 303


async def test_a_database_without_writes_shows_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a session or key was used is not noted then; it is no reason to refuse it."""
    timing = Timing(used_s=0.0)
    async with serving(tmp_path, monkeypatch, timing=timing) as gateway, gateway.admin() as client:
        key = await gateway.key()

        async def failing(*_: object, **__: object) -> None:
            raise OperationalError("update", {}, Exception("attempt to write a readonly database"))

        monkeypatch.setattr(Accounts, "used_session", failing)
        monkeypatch.setattr(Accounts, "used_key", failing)
        assert (await client.get("/api/v1/me")).status_code == 200
        async with gateway.stream(key) as watching:
            await watching.send('{"verb":"subscribe"}')
            await until(watching, "Subscribed")


async def test_a_websocket_needs_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """401 before it is one; a key that is none, likewise."""
    async with serving(tmp_path, monkeypatch) as gateway:
        for headers in ({}, {"Authorization": "Bearer etp_x"}, {"Cookie": f"{gateway.cookie}={'a' * 43}"}):
            with pytest.raises(InvalidStatus) as refused:
                async with gateway.stream(headers):
                    pass
            assert refused.value.response.status_code == 401
