"""Reads the IDL that comes with the package, or another one."""

from pathlib import Path
from typing import Final

from contracts.errors import InterfaceError
from contracts.interface import Interface

IDL_FILE: Final = Path(__file__).resolve().parents[1] / "idl" / "etp_settlement.json"


def load_interface(path: Path = IDL_FILE) -> Interface:
    """The program's interface. Raises InterfaceError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InterfaceError(f"the IDL in {path.name} cannot be read ({error})") from error
    return Interface(text)
