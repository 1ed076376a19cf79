"""Every setting by name: `group.field`, its environment variable, its type and its meaning.

Derived from the model, so that a new field is a new setting everywhere at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tokentide.config.settings import Settings

ENV_PREFIX: Final = "TOKENTIDE_"


class Setting(NamedTuple):
    """One setting, as the catalogue knows it."""

    name: str
    """`group.field`, or a bare name at the top."""
    env: str
    meaning: str
    default: object
    choices: tuple[str, ...]
    """The allowed words, where the set is closed."""
    is_secret: bool
    is_path: bool


@cache
def settings_by_name() -> Mapping[str, Setting]:
    """Return every setting by its name, in the order of the model."""
    return {setting.name: setting for setting in _of(Settings, ())}


@cache
def names_by_env() -> Mapping[str, str]:
    """Return the name of the setting of each environment variable."""
    return {setting.env: setting.name for setting in settings_by_name().values()}


def nearest(unknown: str, known: Mapping[str, object]) -> str | None:
    """Return the known name that is most like the unknown one, or None if none is near."""
    by_folded = {_folded(name): name for name in known}
    found = get_close_matches(_folded(unknown), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _folded(name: str) -> str:
    """A name without what should not count in a comparison: case, hyphens, the common prefix."""
    return name.upper().replace("-", "_").removeprefix(ENV_PREFIX)


def _of(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Setting]:
    for field, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _of(annotation, (*path, field))
        else:
            yield _setting((*path, field), info)


def _setting(path: tuple[str, ...], info: FieldInfo) -> Setting:
    types = tuple(_flat(info.annotation))
    return Setting(
        name=".".join(path),
        env=ENV_PREFIX + "_".join(path).upper(),
        meaning=info.description or "",
        default=info.default,
        choices=tuple(word for word in types if isinstance(word, str)),
        is_secret=SecretStr in types,
        is_path=Path in types,
    )


def _flat(annotation: object) -> Iterator[object]:
    """The plain types and the literal words inside an annotation."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from get_args(annotation)
    elif origin is Annotated:
        yield from _flat(get_args(annotation)[0])
    elif origin in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _flat(part)
    else:
        yield annotation
