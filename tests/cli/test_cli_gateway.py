"""`etp gateway user|key|link`: accounts in the database, beside the gateway that serves."""

import json
import sqlite3
from pathlib import Path

from typer.testing import CliRunner, Result

from cli.main import app


def etp(state: Path, *words: str, stdin: str = "") -> Result:
    """`etp gateway …` on a database of the test's own."""
    return CliRunner().invoke(app, ["gateway", *words, "--state-dir", str(state)], input=stdin)


def test_accounts_from_the_first_to_the_last(tmp_path: Path) -> None:
    """Made with a password from stdin, listed without it, linked, removed; each refusal says what would be right."""
    assert etp(tmp_path, "user", "add", "ada", "--role", "admin", stdin="four words and a comma\n").exit_code == 0
    for words, stdin, right in (
        (("user", "add", "ada"), "four words and a comma\n", "already"),
        (("user", "add", "bob"), "short\n", "12"),
        (("user", "add", "b b"), "four words and a comma\n", "expected"),
        (("user", "remove", "bob"), "", "etp gateway user list"),
        (("link", "--user", "bob"), "", "etp gateway user add"),
        (("key", "revoke", "0"), "", "etp gateway key list"),
    ):
        refused = etp(tmp_path, *words, stdin=stdin)
        assert (refused.exit_code, refused.stdout) == (1, ""), words
        assert right in refused.stderr
    assert etp(tmp_path, "user", "add", "eve", "--role", "king", stdin="x").exit_code == 2
    listed = json.loads(etp(tmp_path, "user", "list", "--json").stdout)
    assert (listed["name"], listed["role"], listed["has_password"]) == ("ada", "admin", True)
    link = etp(tmp_path, "link", "--user", "ada", "--url", "https://market.example/").stdout
    assert link.startswith("https://market.example/login?token=")
    assert etp(tmp_path, "user", "remove", "ada").exit_code == 0
    assert etp(tmp_path, "user", "list", "--json").stdout == ""


def test_keys(tmp_path: Path) -> None:
    """Printed once, listed without their secret, revoked once."""
    key = etp(tmp_path, "key", "add", "grafana").stdout.strip()
    key_id = key.split("_")[1]
    listed = etp(tmp_path, "key", "list", "--json").stdout
    assert json.loads(listed)["key_id"] == key_id
    assert key not in listed
    assert etp(tmp_path, "key", "revoke", key_id).exit_code == 0
    assert etp(tmp_path, "key", "revoke", key_id).exit_code == 1


def test_removing_an_admin_says_which_keys_go_on(tmp_path: Path) -> None:
    """It may have copies of them; of a viewer there is nothing to say."""
    for name, role in (("ada", "admin"), ("bob", "viewer")):
        etp(tmp_path, "user", "add", name, "--role", role, "--without-password")
    kept = etp(tmp_path, "key", "add", "grafana").stdout.split("_")[1]
    revoked = etp(tmp_path, "key", "add", "old").stdout.split("_")[1]
    etp(tmp_path, "key", "revoke", revoked)
    said = etp(tmp_path, "user", "remove", "ada").stdout
    assert f"{kept} grafana (viewer)" in said
    assert "etp gateway key revoke" in said
    assert revoked not in said
    assert kept not in etp(tmp_path, "user", "remove", "bob").stdout


def test_a_database_that_fails_says_so_in_a_line(tmp_path: Path) -> None:
    """Without the statement and its values, one of which is a password's hash."""
    assert etp(tmp_path, "user", "list").exit_code == 0
    with sqlite3.connect(tmp_path / "gateway.sqlite") as connection:
        connection.execute("drop table audit")
    failed = etp(tmp_path, "user", "add", "ada", stdin="four words and a comma\n")
    assert (failed.exit_code, failed.stderr) == (
        1,
        "etp: the database cannot be read or changed: no such table: audit\n",
    )


def test_an_option_of_serving_is_no_option_of_accounts() -> None:
    """Said, not ignored."""
    found = CliRunner().invoke(app, ["gateway", "--listen", "127.0.0.1:0", "user", "list"])
    assert found.exit_code == 2
    assert "--listen" in found.stderr
