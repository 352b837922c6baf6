"""Settings of `etp devnet`: every field is a flag, a TOML key and an ETP_ variable (design §8)."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.settings import SettingsError, parse_address


class DevnetSettings(BaseModel):
    """Options of `etp devnet`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    listen: str = Field("127.0.0.1:8899", description="loopback address HOST:PORT; port 0 picks a free one")
    state_dir: Path = Field(Path("etp-devnet"), description="directory of the chain: its ledger and the faucet's key")
    slot_ms: int = Field(400, ge=1, le=60_000, description="length of a slot, ms; a blockhash lives 150 slots")
    finality_slots: int = Field(32, ge=1, le=1000, description="slots until a transaction is finalized")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")


def check_listen(settings: DevnetSettings) -> tuple[str, int]:
    """Where to listen. Raises SettingsError beyond loopback: the faucet gives to everybody who asks."""
    host, port = parse_address("listen", settings.listen)
    if not IPv4Address(host).is_loopback:
        raise SettingsError(
            "listen", settings.listen, "expected loopback, such as 127.0.0.1:8899: its money is for all"
        )
    return host, port
