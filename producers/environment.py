"""`Producer.from_env`: the settings of the SDK out of environment variables.

They are settings of every Tokentide program (`tokentide.config`), so a misspelt `TOKENTIDE_…` is an error
here as everywhere. Where the names of the application are not set, OpenTelemetry's variables give them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from tokentide.config import KafkaSettings

DISABLED_VARIABLE: Final = "TOKENTIDE_DISABLED"
_SERVICE: Final = ("service.name",)
_ENVIRONMENT: Final = ("deployment.environment.name", "deployment.environment")  # the second is the older
_REGION: Final = ("cloud.region",)


class FromEnvironment(NamedTuple):
    """What the environment says."""

    kafka: KafkaSettings
    topic: str
    spool_folder: Path | None
    spool_max_bytes: int
    is_disabled: bool
    service: str | None
    environment: str | None
    region: str | None


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Return whether the environment switches the SDK off."""
    return environ.get(DISABLED_VARIABLE, "").strip().lower() in ("1", "true", "t", "yes", "y", "on")


def read_environment(environ: Mapping[str, str]) -> FromEnvironment:
    """Read all of it; a settings file is only read where `TOKENTIDE_CONFIG` names one.

    Raises:
        tokentide.errors.SettingsError: with every problem found.
    """
    from tokentide.config import load_settings  # noqa: PLC0415 - a quarter of a second, only for who uses it

    # A server's working folder is none of the SDK's business: no `tokentide.toml` is looked for in it.
    settings = load_settings(environ=environ, folder=Path(os.devnull))
    resource = _resource(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if otel_service := environ.get("OTEL_SERVICE_NAME"):
        resource["service.name"] = otel_service
    return FromEnvironment(
        kafka=settings.kafka,
        topic=settings.topics.events,
        spool_folder=settings.spool.dir,
        spool_max_bytes=settings.spool.max_bytes,
        is_disabled=settings.disabled,
        service=settings.service or _first(resource, _SERVICE),
        environment=settings.environment or _first(resource, _ENVIRONMENT),
        region=settings.region or _first(resource, _REGION),
    )


def _first(resource: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((resource[key] for key in keys if resource.get(key)), None)


def _resource(text: str) -> dict[str, str]:
    """Parse `key=value,key=value`; values are percent-encoded, anything malformed is left out."""
    pairs = (part.partition("=") for part in text.split(","))
    return {key.strip(): unquote(value.strip()) for key, found, value in pairs if found and key.strip()}
