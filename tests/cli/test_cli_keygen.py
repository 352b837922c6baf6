"""`etp keygen`: a key for its owner only, its public half on stdout, nothing of the rest anywhere."""

import json
import os
import stat
from pathlib import Path

import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner, Result

from cli.main import app


def keygen(*arguments: str) -> Result:
    """`etp keygen` in this process."""
    return CliRunner().invoke(app, ["keygen", *arguments])


def test_it_prints_the_public_half_of_what_it_wrote(tmp_path: Path) -> None:
    """Solana's own format; and no other character is printed."""
    path = tmp_path / "node" / "key.json"
    done = keygen(str(path))
    assert (done.exit_code, done.stderr) == (0, "")
    pair = Keypair.from_json(path.read_text())
    assert done.stdout == f"{pair.pubkey()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["key.json"]


def test_show_prints_the_same_again(tmp_path: Path) -> None:
    """And never the secret half, in whatever form."""
    path = tmp_path / "key.json"
    made, shown = keygen(str(path)), keygen("--show", str(path))
    assert (shown.exit_code, shown.stdout) == (0, made.stdout)
    numbers = json.loads(path.read_text())
    for form in (bytes(numbers[:32]).hex(), str(Keypair.from_json(path.read_text())), ",".join(map(str, numbers[:8]))):
        assert form not in shown.output


def test_each_key_is_another(tmp_path: Path) -> None:
    """A hundred bits would do."""
    assert len({keygen(str(tmp_path / str(index))).stdout for index in range(20)}) == 20


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Status 1, the reason, and the file as it was."""
    path = tmp_path / "key.json"
    keygen(str(path))
    before = path.read_bytes()
    done = keygen(str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "exists already, and a key is never overwritten; choose another path" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["missing", "open", "broken", "directory"])
def test_a_key_that_cannot_be_shown(tmp_path: Path, what: str) -> None:
    """Status 1 and why."""
    path = tmp_path / "key.json"
    keygen(str(path))
    says = {"missing": "is not there", "open": "chmod 600", "broken": "is not JSON", "directory": "Is a directory"}
    if what == "missing":
        path.unlink()
    elif what == "open":
        path.chmod(0o640)
    elif what == "broken":
        path.write_text(path.read_text()[:50])
    done = keygen("--show", str(tmp_path if what == "directory" else path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert says[what] in done.stderr


def test_the_umask_is_no_matter(tmp_path: Path) -> None:
    """0600 under any."""
    for mask in (0, 0o077, 0o022):
        before = os.umask(mask)
        try:
            keygen(str(tmp_path / f"{mask}.json"))
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{mask}.json").stat().st_mode) == 0o600
