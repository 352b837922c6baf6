"""The gateway as a whole: headers, errors, files, probes, metrics, TLS, start and end."""

import asyncio
import gzip
import json
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cli.main import app as cli_app
from gateway.events import BESSNodeStatus, SystemMetrics
from gateway.io.accounts import Accounts
from gateway.io.database import engine_for, migrate, parse_url
from gateway.io.static import read
from gateway.transaction import Observation
from runtime.settings import SettingsError
from tests.gateway.whole import serving, until

ROOT = Path(__file__).resolve().parents[2]


async def test_every_answer_has_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, API, errors: no inline script, no frame, no referrer, nothing guessed, nothing kept."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        for path in ("/", "/batteries/101", "/api/v1/me", "/healthz", "/api/v1/nothing", "/assets/none.js"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
            assert "server" not in headers
            assert "date" in headers


ERRORS = [
    ("GET", "/api/v1/nothing", 404, "openapi.json"),
    ("PUT", "/api/v1/me", 405, "GET"),
    ("POST", "/", 405, "GET"),
    ("POST", "/api/v1/login", 422, "body"),
    ("GET", "/api/v1/me", 401, "log in"),
    ("GET", "/assets/../../settings.py", 404, "no"),
]


async def test_errors_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9457, with words that say what would be right."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        for method, path, status, words in ERRORS:
            found = await client.request(method, path)
            assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json")
            body = found.json()
            assert set(body) == {"type", "title", "status", "detail", "instance"}
            assert words in body["detail"]


async def test_a_failure_of_ours_is_a_problem_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 without its reasons: those are in the log."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:

        async def broken(_: Accounts, __: bytes) -> None:
            raise RuntimeError("a secret of the database")

        monkeypatch.setattr(Accounts, "session", broken)
        found = await client.get("/api/v1/me", headers={"Cookie": f"{gateway.cookie}=x"})
        assert (found.status_code, found.json()["title"]) == (500, "Internal Server Error")
        assert "secret" not in found.text
        assert "content-security-policy" in found.headers
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.stream({"Cookie": f"{gateway.cookie}=x"}):
                pass
        response = refused.value.response
        assert (response.status_code, b"secret" in response.body) == (500, False)
        assert "content-security-policy" in response.headers


async def test_files_are_served_as_they_were_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashed ones for ever, the index never; packed where that is understood; pages' paths give the index; no way out."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>index")
    (static / "assets" / "main-abc.js").write_text("let x = 1;" * 100)
    (static / "assets" / "main-abc.js.gz").write_bytes(gzip.compress(b"let x = 1;" * 100))
    (static / "assets" / "out.js").symlink_to(ROOT / "pyproject.toml")
    monkeypatch.setattr("gateway.io.daemon.DIRECTORY", static)
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        script = await client.get("/assets/main-abc.js")
        assert script.headers["content-encoding"] == "gzip"
        assert script.text == "let x = 1;" * 100
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-type"].startswith("text/javascript")
        plain = await client.get("/assets/main-abc.js", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        for page in ("/", "/batteries/101", "/login"):
            found = await client.get(page)
            assert (found.text, found.headers["cache-control"]) == ("<!doctype html>index", "no-cache")
            again = await client.get(page, headers={"If-None-Match": found.headers["etag"]})
            assert again.status_code == 304
        for path in ("/assets/out.js", "/assets/none.js", "/favicon.ico", "/%2e%2e/settings.py", "/..%2fsettings.py"):
            assert (await client.get(path)).status_code == 404, path


def test_without_a_build_a_page_says_how(tmp_path: Path) -> None:
    """A checkout has no Node: the gateway serves all the same."""
    files = read(tmp_path / "none")
    assert set(files) == {"index.html"}
    assert b"npm run build" in files["index.html"].body


async def test_probes_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For this machine without a login; through a proxy by API key only. Nodes' gauges are what alerts need."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        status = BESSNodeStatus(
            node="101", time_us=1, market_us=1, online=True, mechanism="english", capacity_wh=1, stored_wh=1,
            for_sale_wh=1, reserved_wh=0, to_deliver_wh=0, health="good", voltage_mv=1, discharge_w=0,
            temperature_mc=None, failure=None, sessions=1, unsettled=2, oldest_unsettled_us=1,
        )  # fmt: skip
        metrics = SystemMetrics(
            node="101", time_us=1, market_us=1, online=True, latencies=[], late_messages=3, violations=4,
            journal_waiting=5, feed_unacked=6, feed_dropped=7,
        )  # fmt: skip
        gateway.parts.store.observe(Observation([status, metrics]))
        async with gateway.stream() as watching:
            await watching.send('{"verb":"request_snapshot"}')
            await until(watching, "Snapshot")
            text = (await client.get("/metrics")).text
        assert 'etp_node_online{node="101",role="bess"} 1\n' in text
        assert 'etp_node_late_messages_total{node="101",role="bess"} 3\n' in text
        assert 'etp_node_feed_unacked{node="101",role="bess"} 6\n' in text
        assert 'etp_node_unsettled{node="101"} 2\n' in text
        assert "etp_gateway_stream_clients 1\n" in text
        assert (await client.get("/readyz")).text == "ok\n"
        ready = await client.head("/readyz")
        assert (ready.status_code, ready.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        gateway.parts.store.fault = "the disk is full"
        assert (await client.head("/readyz")).status_code == 503
        assert "the disk is full" in (await client.get("/readyz")).json()["detail"]
        gateway.parts.settings.behind_proxy.append("127.0.0.1")
        proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"}
        for stranger in (proxied, {"X-Forwarded-For": "9.9.9.9"}, {"Host": "whatever"}):
            gateway.parts.store.fault = "the disk is full"  # a write that succeeds meanwhile takes it away
            found = await client.get("/readyz", headers=stranger)
            assert (found.status_code, "disk" in found.text) == (503, False)
            assert "log" in found.json()["detail"]
        assert (await client.get("/metrics", headers=proxied)).status_code == 401
        assert (await client.get("/metrics", headers=proxied | await gateway.key())).status_code == 200
        assert (await client.get("/healthz", headers={"Host": "whatever"})).json()["ok"] is True


async def test_other_origins_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was named may ask, and is told so; the preflight says how."""
    origin = "https://market.example"
    async with serving(tmp_path, monkeypatch, origins=[origin]) as gateway, gateway.client() as client:
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        before = await client.options("/api/v1/me", headers=asked)
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, origin)
        found = await client.get("/api/v1/me", headers={"Origin": origin, **await gateway.key()})
        assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, origin)


async def test_packed_files_vary_by_origin_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a cache gives one origin what another was allowed."""
    assets = tmp_path / "static" / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "index.html").write_text("index")
    (assets / "main-abc.js").write_text("let x = 1;" * 100)
    (assets / "main-abc.js.gz").write_bytes(gzip.compress(b"let x = 1;" * 100))
    monkeypatch.setattr("gateway.io.daemon.DIRECTORY", assets.parent)
    origin = "https://market.example"
    async with serving(tmp_path, monkeypatch, origins=[origin]) as gateway, gateway.client(Origin=origin) as client:
        found = await client.get("/assets/main-abc.js")
        assert found.headers.get_list("vary") == ["Accept-Encoding, Origin"]
        assert found.headers["access-control-allow-origin"] == origin


async def test_errors_of_the_database_name_no_values(tmp_path: Path) -> None:
    """They are printed and logged, and one may be a password's hash."""
    engine = engine_for(parse_url(f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite'}"))
    with pytest.raises(OperationalError) as failed:
        await Accounts(engine).add_user("ada", "admin", "$argon2id$secret", 1)
    assert "argon2id" not in str(failed.value)
    await engine.dispose()


def test_a_command_without_its_database_says_so_in_a_line(tmp_path: Path) -> None:
    """One line, no traceback."""
    occupied = tmp_path / "occupied"
    occupied.write_text("a file")
    arguments = ["gateway", "user", "list", "--state-dir", str(occupied / "state")]
    found = CliRunner().invoke(cli_app, arguments)
    assert (found.exit_code, found.stderr.count("\n")) == (1, 1)
    assert found.stderr.startswith("etp: ")


async def test_tls_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """https, a Secure cookie, HSTS, and the stream by wss; beyond loopback it wants an account first."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    chosen = {"listen": "0.0.0.0:0", "tls_cert": cert, "tls_key": key}
    with pytest.raises(ExceptionGroup) as refused:
        async with serving(tmp_path, monkeypatch, **chosen):
            pass
    assert refused.group_contains(SettingsError, match="etp gateway user add")
    engine = engine_for(parse_url(f"sqlite+aiosqlite:///{tmp_path / 'gateway' / 'gateway.sqlite'}"))
    await migrate(engine)
    await Accounts(engine).add_user("ada", "admin", "hash", 1)
    await engine.dispose()
    async with serving(tmp_path, monkeypatch, **chosen) as gateway:
        assert gateway.login is None, "no link where others could take it"
        trust = ssl.create_default_context(cafile=str(cert))
        url = f"https://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False, headers={"Origin": url}) as client:
            token = await gateway.parts.access.new_link("ada", by="test")
            found = await client.post("/api/v1/login/link", json={"token": token})
            cookie = found.headers["set-cookie"]
            assert cookie.startswith(f"__Host-etp_session_{gateway.port}=")
            assert {"Secure", "Path=/"} <= {part.strip() for part in cookie.split(";")}
            assert "Domain" not in cookie
            assert found.headers["strict-transport-security"].startswith("max-age=")


async def test_an_orderly_end_says_goodbye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM: websockets hear 1001, and the port is free."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.stream() as watching:
        gateway.life.stopping.set()
        with pytest.raises(ConnectionClosed):
            await watching.recv()
        assert watching.close_code == 1001


def test_the_process_serves_when_it_says_so(tmp_path: Path) -> None:
    """One line on stdout, the link for people on stderr, status 0 after SIGTERM."""
    arguments = ["-m", "cli.main", "gateway", "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "state")]
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["ready"], ready["role"]) == (True, "gateway")
        assert httpx.get(f"{ready['http']}/healthz", trust_env=False).status_code == 200
        assert ready["login"].startswith(f"{ready['http']}/login?token=")
        process.terminate()
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest) == (0, "")
        assert ready["login"] in errors


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"listen": "0.0.0.0:0"}, "TLS"),
        ({"redis": "redis://127.0.0.1:1/0"}, "PostgreSQL"),
        ({"tls_cert": Path("/nowhere")}, "both"),
        ({"tls_cert": Path("/nowhere"), "tls_key": Path("/nowhere")}, "cannot be read"),
    ],
)
async def test_wrong_settings_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], words: str
) -> None:
    """Before anything is served: which one, and what would be right."""
    with pytest.raises(ExceptionGroup) as refused:
        async with serving(tmp_path, monkeypatch, **settings):
            pass
    assert refused.group_contains(SettingsError, match=words)
