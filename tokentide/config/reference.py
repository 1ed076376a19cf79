"""The reference of all settings as Markdown, for docs/settings.md (a test compares the two)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from pydantic import BaseModel

from tokentide.config.catalogue import Setting, settings_by_name
from tokentide.config.settings import Settings


def settings_markdown() -> str:
    """Return one table for each group of settings."""
    return "\n".join(_tables()).rstrip() + "\n"


def shown_default(setting: Setting) -> str:
    """The default as one would write it in a variable; empty for "unset"."""
    match setting.default:
        case None | ():
            return ""
        case bool() as truth:
            return str(truth).lower()
        case tuple() as words:
            return ",".join(str(word) for word in words)
        case float() as number:
            return f"{number:g}"
        case other:
            return str(other)


def _tables() -> Iterator[str]:
    by_group = groupby(settings_by_name().values(), key=lambda setting: setting.name.rpartition(".")[0])
    for group, settings in by_group:
        yield f"### `[{group}]`" if group else "### At the top"
        yield ""
        if group:
            yield _meaning_of(group)
            yield ""
        yield "| setting | variable | default | meaning |"
        yield "|---|---|---|---|"
        yield from (_row(setting) for setting in settings)
        yield ""


def _meaning_of(group: str) -> str:
    model = Settings.model_fields[group].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return (model.__doc__ or "").strip()


def _row(setting: Setting) -> str:
    default = shown_default(setting)
    shown = f"`{default}`" if default else "unset"
    meaning = setting.meaning
    if setting.choices:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in setting.choices)}."
    if setting.is_secret:
        meaning += " Secret: never printed."
    field = setting.name.rpartition(".")[2]
    return f"| `{field}` | `{setting.env}` | {shown} | {meaning} |"
