"""Settings: one pydantic model a command; each field is a flag, a TOML key and an ETP_ variable. Reading them is `io`'s."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from etp.clock import Now
from etp.units import MICRO_PER_CENT, WH_PER_KWH, MonotonicS, is_whole
from runtime.days import MarketClock

LAST_PORT = 65_535
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class SettingsError(Exception):
    """A setting that cannot be used: which, what it was, and what would be right."""

    def __init__(self, setting: str, value: object, right: str) -> None:
        self.setting, self.value, self.right = setting, value, right
        super().__init__(f"{setting} is {value!r}: {right}")


def parse_address(setting: str, text: str) -> tuple[str, int]:
    """HOST:PORT with an IPv4 HOST. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    try:
        IPv4Address(host)
        if colon and _PORT.fullmatch(port) and int(port) <= LAST_PORT:
            return host, int(port)
    except ValueError:
        pass
    raise SettingsError(setting, text, "expected IPv4:PORT with a port of 0 to 65535, such as 127.0.0.1:8888")


def _whole(factor: int, unit: str) -> Callable[[float], float]:
    def check(value: float) -> float:
        if not is_whole(value * factor):
            raise ValueError(f"expected a whole multiple of {1 / factor:g} {unit}")
        return value

    return check


Cents = Annotated[float, AfterValidator(_whole(MICRO_PER_CENT, "c/kWh"))]
"""A price that trades, c/kWh: never rounded to fit the wire."""
Kwh = Annotated[float, AfterValidator(_whole(WH_PER_KWH, "kWh"))]
"""An energy that trades, kWh."""


class DaySettings(BaseModel):
    """Market time: prices, sun, charging and delivery follow it; every deadline of the protocol stays in real time."""

    day: Path | None = Field(None, description="prices of recorded days (CSV: start_utc,micro_per_kwh)")
    day_start: float | None = Field(None, description="market time at the start, unix seconds; default: now")
    day_speed: float = Field(1.0, gt=0, le=1_000_000, description="market seconds per real second")
    day_origin: float | None = Field(
        None,
        description="when market time is day_start, unix seconds: nodes that are given the same share one market time;"
        " default: when the node starts",
    )
    day_told: bool = Field(
        default=False,
        description="ask for day_origin by a line on stdout once everything is loaded, and wait for it on stdin",
    )


class NodeSettings(DaySettings):
    """Options of every node."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device_id: int = Field(ge=0, le=2**64 - 1, description="this node's id, unique in the market")
    interface: str = Field("127.0.0.1", description="address of the network interface for multicast")
    group: str = Field("239.192.77.77:8888", description="multicast group and port of discovery")
    metrics_ms: int = Field(1000, ge=10, le=600_000, description="how often metrics.json is written, ms")
    profile: Literal["signed", "plain"] = Field(
        "signed", description="what is on the wire: signed records, or plain frames that nobody signs"
    )
    key: Path | None = Field(None, description="file with this node's key (etp keygen); default: key.json in its state")
    registry: Path | None = Field(None, description="file with the market's members and their keys (etp registry)")
    rpc: list[str] = Field(
        [],
        description="URL of a Solana RPC, where trades are paid; one, or three of different operators: more than half must agree",
    )
    gateway: list[str] = Field(
        [],
        description="URL of a gateway that is told what its owner may publish, such as wss://gateway.example:8080; several allowed",
    )
    metrics: str | None = Field(None, description="address HOST:PORT of a Prometheus exporter; default: none")
    state_dir: Path | None = Field(None, description="directory of the journal; default: etp-ROLE-ID here")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    seed: int | None = Field(
        None, ge=0, description="seed of jitter and random strategies; default: a fresh one, logged"
    )

    @field_validator("interface")
    @classmethod
    def _interface(cls, value: str) -> str:
        try:
            IPv4Address(value)
        except ValueError as error:
            raise ValueError("expected the IPv4 address of an interface, such as 127.0.0.1") from error
        return value

    @field_validator("group")
    @classmethod
    def _group(cls, value: str) -> str:
        try:
            host, port = parse_address("group", value)
        except SettingsError:
            host, port = "0.0.0.0", 0  # noqa: S104 - no address, but what the check below refuses
        if not IPv4Address(host).is_multicast or port == 0:
            raise ValueError("expected a multicast group and port, such as 239.192.77.77:8888")
        return value


def market_clock(settings: DaySettings, now: Now) -> MarketClock:
    """The node's market time, `now` being when it starts."""
    now_s = now.wall_us / 1e6
    start = settings.day_start if settings.day_start is not None else now_s
    delay_s = settings.day_origin - now_s if settings.day_origin is not None else 0.0
    return MarketClock(MonotonicS(now.monotonic_s + delay_s), start, settings.day_speed)
