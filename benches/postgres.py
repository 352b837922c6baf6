"""A PostgreSQL of one's own: Debian's programs, a data directory that is gone afterwards, a socket in it, no TCP port."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USER: Final = "postgres"
"""PostgreSQL does not run as root: Debian's packages make this user."""


def binaries() -> Path | None:
    """Where Debian has the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


class PostgresServer:
    """A cluster in `directory`, started and ended at will."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self._directory, self._programs = directory, programs
        self._data = directory / "data"
        self._as = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(directory, USER, USER)
        self._run("initdb", "--auth=trust", "--no-sync", "-U", USER, "-D", str(self._data))
        self.start()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(  # noqa: S603 - Debian's own programs, no shell
            [*self._as, str(self._programs / program), *words],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise OSError(f"{program} failed: {done.stdout.decode()[-800:]}")

    def start(self) -> None:
        """Serve; what a server confirms is on the disk, as by default."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._directory} -c shared_buffers=64MB"
        log = str(self._directory / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-o", options, "-l", log, "start")

    def stop(self, mode: str = "fast") -> None:
        """End it; `immediate`: as a crash would."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def database(self) -> str:
        """The URL of its database, which is empty now."""
        # Emptied, not made anew: a database is 300 files to make and to delete.
        empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        self._run(
            "psql", "-h", str(self._directory), "-U", USER, "-q", "-c", "SET client_min_messages = error", "-c", empty
        )
        return f"postgresql+asyncpg://{USER}@/postgres?host={self._directory}"

    def end(self) -> None:
        """End it at once, if it runs."""
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")


@contextmanager
def postgres_server(parent: Path | None = None) -> Iterator[PostgresServer | None]:
    """A server that is ended with the block, its files in `parent` or where temporary ones are; None: it is not installed."""
    programs = binaries()
    if programs is None:
        yield None
        return
    # A short path beside those of tests and checkouts: a socket's is 107 bytes at most, and its user must reach it.
    with tempfile.TemporaryDirectory(prefix="etp-pg-", dir=parent) as directory:
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory), programs)
        try:
            yield server
        finally:
            server.end()
