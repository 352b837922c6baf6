"""The gateway's settings: every field is a flag, a TOML key and an ETP_ variable (design §8)."""

from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from runtime.settings import SettingsError

DATABASE_FILE = "gateway.sqlite"
SCHEMES = ("http", "https")


class DatabaseSettings(BaseModel):
    """Where the gateway's history is: what its server and its other commands have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    database: str | None = Field(
        None,
        description="URL of the database, sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME;"
        f" default: {DATABASE_FILE} in the state directory",
    )
    state_dir: Path = Field(Path("etp-gateway"), description="directory of the database, if it is a file of its own")

    @field_validator("database")
    @classmethod
    def _database(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
            raise ValueError("expected sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME")
        return value

    @property
    def database_url(self) -> str:
        """The database's URL, also where none is given."""
        return self.database or f"sqlite+aiosqlite:///{self.state_dir / DATABASE_FILE}"


class GatewaySettings(DatabaseSettings):
    """Options of `etp gateway`."""

    listen: str = Field("127.0.0.1:8080", description="address HOST:PORT; port 0 picks a free one")
    redis: str | None = Field(
        None, description="URL of a Redis server, redis://HOST:PORT/N, that joins several gateways over one database"
    )
    registry: Path | None = Field(
        None, description="file with the market's members and their keys (etp registry): only they may publish"
    )
    tls_cert: Path | None = Field(None, description="file with this gateway's certificate chain (PEM)")
    tls_key: Path | None = Field(None, description="file with the certificate's key (PEM)")
    behind_proxy: list[str] = Field(
        [],
        description="address or network of a proxy in front that speaks TLS, such as 10.0.0.2 or 172.16.0.0/12: its"
        " X-Forwarded headers are believed; several allowed",
    )
    origins: list[str] = Field(
        [],
        description="origin of a web page that may ask beside this gateway's own, such as https://market.example;"
        " several allowed",
    )
    open: bool = Field(default=False, description="let everybody watch without a login; on loopback only")
    keep_days: int = Field(
        365, ge=0, le=36_500, description="days that samples of batteries are kept; 0: for ever. Trades always are"
    )
    keep_events_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="days that events of the stream are kept; 0: for ever. Lots and trades always are",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    @field_validator("redis")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("expected redis://HOST:PORT/N, rediss://… or unix://PATH")
        return value

    @field_validator("behind_proxy")
    @classmethod
    def _proxies(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(f"{text!r} is no address and no network; expected such as 10.0.0.2") from error
        return value

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for text in value:
            parts = urlsplit(text)
            if parts.scheme not in SCHEMES or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"{text!r} is no origin; expected SCHEME://HOST[:PORT] and nothing after it")
        return [text.lower() for text in value]


def check_files(settings: GatewaySettings) -> None:
    """Raises SettingsError where a certificate is given without its key, or the other way round."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        lacking = "tls_key" if settings.tls_key is None else "tls_cert"
        raise SettingsError(lacking, None, "a certificate and its key belong together: give both or neither")
