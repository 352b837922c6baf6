"""One process a state directory: a lock that the system lets go of when its holder ends, however it ends."""

import fcntl
from pathlib import Path
from typing import IO


def lock_directory(directory: Path, name: str) -> IO[bytes] | None:
    """Make the directory where it is missing, and lock the file `name` in it; None: another process has it. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (directory / name).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
