"""Key files: mode 0600, written once, never overwritten."""

import os
import stat
from pathlib import Path
from typing import Final

from etp.keys import KeyFormatError, KeyPair, key_from_json, key_to_json

MODE: Final = 0o600
LONGEST: Final = 4096
"""No key file is longer, bytes: another file given by mistake is not read into memory."""


class KeyFileError(Exception):
    """A key file that cannot be used: which, why, and what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"key file {path}: {reason}")


def load_key(path: Path) -> KeyPair:
    """The key in a file. Raises KeyFileError where it is missing, open to others or broken."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(LONGEST)
    except FileNotFoundError:
        raise KeyFileError(path, "is not there; make one with `etp keygen`") from None
    except OSError as error:
        raise KeyFileError(path, f"cannot be read: {error.strerror}") from None
    if mode & ~MODE:
        raise KeyFileError(path, f"has mode {mode:04o}, so others may read it; run `chmod 600 {path}`")
    try:
        return key_from_json(text.decode("ascii", "replace"))
    except KeyFormatError as error:
        raise KeyFileError(path, str(error)) from None


def _make_place(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise KeyFileError(path, f"cannot be written: {path.parent} is no directory") from None


def make_key(path: Path) -> KeyPair:
    """A new key, written with mode 0600 and made durable. Raises KeyFileError where there is a file already."""
    pair = KeyPair(os.urandom(32))
    try:
        _make_place(path)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
            file.write(key_to_json(pair))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeyFileError(path, "exists already, and a key is never overwritten; choose another path") from None
    except OSError as error:
        raise KeyFileError(path, f"cannot be written: {error.strerror}") from None
    return pair
