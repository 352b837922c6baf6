"""Settings from flags, environment and TOML, in that order of weight; a typer command made from the model itself."""

import inspect
import json
import tomllib
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from runtime.settings import SettingsError

M = TypeVar("M", bound=BaseModel)
PREFIX = "ETP_"
METAVARS = {int: "INTEGER", float: "NUMBER", Path: "PATH", bool: ""}


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file; keys may be written with dashes. Raises SettingsError."""
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError("config", str(path), f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("config", str(path), f"is not TOML: {error}") from error
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name in found:
            raise SettingsError(name, value, f"is given twice, once with dashes and once without: {found[name]!r}")
        found[name] = value
    return found


def load(model: type[M], flags: Mapping[str, Any], config: Path | None = None) -> M:
    """The settings: flag, else ETP_ variable, else TOML, else default. Raises SettingsError naming what is wrong."""
    file_values = read_toml(config) if config else {}

    class Sources(BaseSettings, model):  # type: ignore[misc, valid-type]
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, extra="forbid", env_ignore_empty=True, enable_decoding=False
        )

        @field_validator("*", mode="before")
        @classmethod
        def _written(cls, value: Any, info: ValidationInfo) -> Any:
            return _as_meant(value, model.model_fields[str(info.field_name)].annotation)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, file_values)

    try:
        found = Sources(**flags)
    except ValidationError as error:
        raise _first(error) from error
    return model.model_validate(found.model_dump())


def _as_meant(value: Any, annotation: Any) -> Any:
    """A list may be written as JSON, or with commas; a switch is no number, although Python takes True for 1."""
    if isinstance(value, str) and get_origin(_bare(annotation)) is list:
        return json.loads(value) if value.startswith("[") else [item.strip() for item in value.split(",")]
    if isinstance(value, bool) and _bare(annotation) in (int, float):
        raise ValueError("expected a number")
    return value


def _first(error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    setting = ".".join(str(part) for part in first["loc"]) or "settings"
    message = first["msg"]
    if first["type"] == "extra_forbidden":
        message = "there is no such setting; --help lists them"
    if first["type"] == "missing":
        return SettingsError(setting, None, f"is required: --{setting.replace('_', '-')}, or {PREFIX}{setting.upper()}")
    return SettingsError(setting, first["input"], message)


def command(model: type[M], run: Callable[[M], int]) -> Callable[..., None]:
    """A typer command whose options are the model's fields. Wrong settings end it with status 2 and one line on stderr."""

    def body(**given: Any) -> None:
        config = given.pop("config")
        flags = {key: value for key, value in given.items() if value not in (None, [], ())}
        try:
            status = run(load(model, flags, config))
        except SettingsError as error:
            typer.echo(f"etp: {error}", err=True)
            raise typer.Exit(2) from error
        raise typer.Exit(status)

    parameters = [_parameter(name, model.model_fields[name]) for name in _in_order(model)]
    file_option = typer.Option("--config", help="TOML file with any of these settings", show_default=False)
    parameters.append(_keyword("config", Annotated[Path | None, file_option]))
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    body.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return body


def _in_order(model: type[BaseModel]) -> list[str]:
    """What is required comes first, then what is the command's own, then what all nodes have."""
    bases = [base for base in model.__mro__ if issubclass(base, BaseModel)]
    inherited = {name: depth for depth, base in reversed(list(enumerate(bases))) for name in base.__annotations__}
    return sorted(model.model_fields, key=lambda name: (not model.model_fields[name].is_required(), inherited[name]))


def _parameter(name: str, field: Any) -> inspect.Parameter:
    default = field.default_factory() if field.default_factory else field.default
    required = default is PydanticUndefined
    shown = "required" if required else _text(default)
    kind = _option_type(field.annotation)
    extra = field.json_schema_extra or {}
    flag = extra.get("flag", f"--{name.replace('_', '-')}")  # a field cannot have every name: pydantic's own are taken
    metavar = "|".join(_choices(field.annotation)) or METAVARS.get(_bare(field.annotation), "TEXT")
    # The default stays in the model: None here means "not given", so that the environment and the file are asked.
    # In round brackets: rich takes square ones for markup and shows nothing.
    note = f"({'required' if required else f'default: {shown}'})" if shown or required else ""
    option = typer.Option(flag, help=f"{field.description} {note}".strip(), show_default=False, metavar=metavar)
    return _keyword(name, Annotated[kind, option])


def _text(default: object) -> str:
    if default is None or default == []:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _bare(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _choices(annotation: Any) -> tuple[str, ...]:
    bare = _bare(annotation)
    return get_args(bare) if get_origin(bare) is Literal else ()


def _option_type(annotation: Any) -> Any:
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return str | None
    if get_origin(bare) in (list, tuple):
        return list[str] | None
    # Numbers stay text until the model reads them, so that one place judges them all.
    return bool | None if bare is bool else str | None
