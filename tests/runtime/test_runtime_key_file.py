"""Key files: written once, for their owner only; whatever is wrong with one has its own message that says what to do."""

import json
import os
import stat
from pathlib import Path

import pytest

from etp.keys import KeyPair, key_to_json
from runtime.io.key_file import LONGEST, KeyFileError, load_key, make_key

SEED = bytes(range(150, 182))


def written(path: Path, text: str = key_to_json(KeyPair(SEED)), mode: int = 0o600) -> Path:
    """A key file with this content and mode."""
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


def fault(path: Path) -> str:
    """What is said of it; never any of its content."""
    with pytest.raises(KeyFileError) as caught:
        load_key(path)
    assert caught.value.path == path
    said = str(caught.value)
    assert str(path) in said
    assert SEED.hex() not in said
    assert str(list(SEED))[1:30] not in said
    return said


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_of_its_owner_is_read(tmp_path: Path, mode: int) -> None:
    """0600, or 0400."""
    assert load_key(written(tmp_path / "key.json", mode=mode)).seed == SEED


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o620, 0o601, 0o700, 0o777])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that puts it right."""
    path = written(tmp_path / "key.json", mode=mode)
    said = fault(path)
    assert f"has mode {mode:04o}, so others may read it; run `chmod 600 {path}`" in said


def test_a_missing_key(tmp_path: Path) -> None:
    """What makes one."""
    assert "is not there; make one with `etp keygen`" in fault(tmp_path / "key.json")


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    """Said as the operating system says it."""
    assert "cannot be read: Is a directory" in fault(tmp_path)


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    """Not there."""
    (tmp_path / "key.json").symlink_to(tmp_path / "gone")
    assert "is not there" in fault(tmp_path / "key.json")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A gigabyte given by mistake: 4 KiB of it are looked at."""
    path = written(tmp_path / "key.json", "")
    os.truncate(path, 2**30)
    assert "is not JSON" in fault(path)
    assert LONGEST == 4096


def test_a_key_behind_a_lot_of_room_is_no_key(tmp_path: Path) -> None:
    """Neither is what is cut off at the bound taken for whole."""
    assert "is not JSON" in fault(written(tmp_path / "key.json", " " * LONGEST + key_to_json(KeyPair(SEED))))


BROKEN = {
    "empty": "",
    "bytes": "\x00\xff\xfe",
    "half": key_to_json(KeyPair(SEED))[:100],
    "halves of two": json.dumps([*SEED, *KeyPair(bytes(32)).public]),
    "brackets": "[" * 4000,
    "the seed alone": json.dumps(list(SEED)),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_key_is_refused(tmp_path: Path, text: str) -> None:
    """See tests/etp/test_etp_keys.py for the messages."""
    fault(written(tmp_path / "key.json", text))


def test_a_key_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask is, its directory 0700; and what is read back is what was made."""
    before = os.umask(0)
    try:
        pair = make_key(tmp_path / "new" / "key.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "key.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert load_key(tmp_path / "new" / "key.json").public == pair.public
    assert make_key(tmp_path / "other.json").public != pair.public


@pytest.mark.parametrize("there", ["a key", "a link to nowhere", "a directory"])
def test_a_key_is_never_overwritten(tmp_path: Path, there: str) -> None:
    """Whatever is there stays as it is."""
    path = tmp_path / "key.json"
    if there == "a key":
        written(path)
    elif there == "a directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "gone")
    with pytest.raises(KeyFileError, match="exists already, and a key is never overwritten; choose another path"):
        make_key(path)
    if there == "a key":
        assert load_key(path).seed == SEED
    assert not (tmp_path / "gone").exists()


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot be written"):
        make_key(tmp_path / "file" / "key.json")
