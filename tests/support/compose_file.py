"""docker-compose.yml as values: the part of the Compose specification that it uses, and nothing else.

A key that is not listed here is refused, so a misspelt one is found, which Compose itself would name only on a machine
that has it. Interpolation knows `${NAME}` and `${NAME:-default}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Duration = Annotated[str, StringConstraints(pattern=r"^\d+(ms|s|m)$")]
_VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Healthcheck(_Part):
    """How Docker asks a container whether it is well."""

    test: list[str]
    interval: Duration
    timeout: Duration
    retries: int = 3
    start_period: Duration | None = None


class Dependency(_Part):
    """What has to be true of another service first."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Deploy(_Part):
    """How many there are."""

    replicas: int


class Service(_Part):
    """One service."""

    image: str
    build: str | None = None
    pull_policy: Literal["always", "never", "missing", "build"] | None = None
    command: list[str] = []
    environment: dict[str, str] = {}
    """All values are texts: YAML's `true` and `1` would be passed on in a spelling that YAML chooses."""
    ports: list[str] = []
    volumes: list[str] = []
    depends_on: dict[str, Dependency] = {}
    deploy: Deploy = Deploy(replicas=1)
    healthcheck: Healthcheck | None = None
    restart: Annotated[str, StringConstraints(pattern=r"^(no|always|unless-stopped|on-failure(:\d+)?)$")] = (
        "no"
    )
    stop_grace_period: Duration = "10s"
    ulimits: dict[str, int] = {}


class ComposeFile(_Part):
    """The whole file."""

    name: str
    shared: dict[str, Any] = Field(alias="x-tokentide")
    services: dict[str, Service]
    volumes: dict[str, None]


def read_compose_file(path: Path, environ: Mapping[str, str] | None = None) -> ComposeFile:
    """Read the file as Compose does with these variables (none by default).

    Raises:
        ValidationError: something is not of the specification's form, or not known here.
        KeyError: a variable without default is not given.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return ComposeFile.model_validate(_interpolated(content, environ or {}))


def _interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _variable(found, environ), value)
        case list():
            return [_interpolated(item, environ) for item in value]
        case dict():
            return {key: _interpolated(item, environ) for key, item in value.items()}
        case _:
            return value


def _variable(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if given := environ.get(found["name"]):
        return given
    if found["default"] is None:
        raise KeyError(found["name"])
    return found["default"]
