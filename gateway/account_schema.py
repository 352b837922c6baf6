"""What the routes of accounts take and answer."""

from typing import Literal

from pydantic import Field

from gateway.access import LEAST_PASSWORD, LONGEST_PASSWORD
from gateway.schema import Model, TimeUs

NAME = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", examples=["ada"])


class Login(Model):
    """Who logs in."""

    name: str = Field(max_length=256, examples=["ada"])
    password: str = Field(max_length=LONGEST_PASSWORD, examples=["four words and a comma"])


class LinkToken(Model):
    """What a login link carries."""

    token: str = Field(min_length=1, max_length=128)


class NewUser(Model):
    """An account to make."""

    name: str = NAME
    role: Literal["viewer", "admin"] = "viewer"
    password: str = Field(min_length=LEAST_PASSWORD, max_length=LONGEST_PASSWORD, examples=["four words and a comma"])


class User(Model):
    """An account."""

    name: str
    role: Literal["viewer", "admin"]
    has_password: bool = Field(description="false: it logs in by links only")
    created_us: TimeUs


class NewKey(Model):
    """An API key to make."""

    name: str = NAME
    scope: Literal["viewer", "admin"] = "viewer"


class Key(Model):
    """An API key, but for its secret."""

    key_id: str = Field(examples=["0123456789abcdef"])
    name: str
    scope: Literal["viewer", "admin"]
    created_us: TimeUs
    used_us: TimeUs | None = Field(description="to the minute; null: never")
    revoked_us: TimeUs | None


class MadeKey(Model):
    """A key that was just made."""

    key_id: str = Field(examples=["0123456789abcdef"])
    key: str = Field(description="shown this once: `Authorization: Bearer KEY`")


class AuditLine(Model):
    """Who did what to accounts."""

    number: int
    time_us: TimeUs
    who: str
    address: str
    what: str
    detail: str
