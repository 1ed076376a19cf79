"""Settings as environment variables, for a child process. Holds secrets in clear: for that environment only."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, SecretStr

from tokentide.config.catalogue import settings_by_name
from tokentide.config.clickhouse_url import ClickHouseUrl
from tokentide.config.settings import Settings


def as_environment(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """Return the variables that give a child the same values of these settings.

    Args:
        settings: the settings.
        names: `group.field` each; those that are unset are left out.
    """
    by_name = settings_by_name()
    values = {by_name[name].env: _written(_value(settings, name)) for name in names}
    return {variable: text for variable, text in values.items() if text}


def _value(settings: BaseModel, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _written(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
        case SecretStr():
            return value.get_secret_value()
        case ClickHouseUrl():
            return value.revealed()
        case _:
            return str(value)
