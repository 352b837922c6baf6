"""Runs a daemon and turns what stops it into one line on stderr and an exit status (design §8)."""

import sys
from collections.abc import Awaitable, Callable

from etp.errors import EtpError
from runtime.io.journal import JournalError, JournalOfAnotherNode
from runtime.io.key_file import KeyFileError
from runtime.io.lifecycle import Lifecycle, run
from runtime.io.logging import set_up
from runtime.io.registry_file import RegistryFileError
from runtime.settings import SettingsError

FAILED = 1
WRONG_USE = 2
EXPECTED = (SettingsError, JournalError, KeyFileError, RegistryFileError, EtpError, OSError)
_USAGE = (SettingsError, JournalOfAnotherNode, KeyFileError, RegistryFileError)


def serve(log_level: str, main: Callable[[Lifecycle], Awaitable[int]]) -> int:
    """The daemon's exit status: 0 done, 1 failed, 2 wrong settings."""
    set_up(log_level)
    try:
        return run(main)
    except BaseExceptionGroup as group:
        error = _first(group)
        if not isinstance(error, EXPECTED):
            raise
    except EXPECTED as single:
        error = single
    sys.stderr.write(f"etp: {error}\n")
    return WRONG_USE if isinstance(error, _USAGE) else FAILED


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
