"""From the sources to the settings: flags before environment before file before defaults.

All problems of all sources are reported together. The environment and the working folder are
parameters, so that a test needs neither.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tokentide.config.catalogue import nearest, settings_by_name
from tokentide.config.settings import Settings
from tokentide.config.sources import Given, Origin, Source, from_environment, from_file, from_flags
from tokentide.errors import SettingProblem, SettingsError

CONFIG_VARIABLE: Final = "TOKENTIDE_CONFIG"
DEFAULT_FILE: Final = "tokentide.toml"
_DEFAULT: Final = Origin("default", "default")
_RULES: Final = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "tuple_type": "must be a list, or text with commas",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
}
"""pydantic's kinds of errors in the words of a settings file."""


class Loaded(NamedTuple):
    """The settings, and where each came from."""

    settings: Settings
    origins: Mapping[str, Origin]
    """Of every setting, by name."""
    file: Path | None
    """The file that was read, if any."""


def load_settings(
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    folder: Path | None = None,
) -> Settings:
    """Return the settings; see `load` for the arguments.

    Raises:
        SettingsError: with every problem found.
    """
    return load(flags=flags, environ=environ, config_file=config_file, folder=folder).settings


def load(
    *,
    flags: Mapping[str, object] | None = None,
    written: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    folder: Path | None = None,
    without: Collection[str] = (),
) -> Loaded:
    """Read all sources and check the result.

    Args:
        flags: settings of the command line by name (`kafka.bootstrap_servers`); None is "not given".
        written: for messages: how the user wrote a flag (`--clickhouse-url`).
        environ: the environment; the process's own by default.
        config_file: a file named on the command line; it must exist.
        folder: where to look for `tokentide.toml`; the working folder by default.
        without: groups whose values are left out and stay at their defaults, such as `kafka`; misspelt names
            are found all the same.

    Raises:
        SettingsError: with every problem found.
    """
    environ = os.environ if environ is None else environ
    file = _file(environ, config_file, folder or Path())
    sources = [
        from_file(file) if file else Source({}, ()),
        from_environment(environ),
        from_flags(flags or {}, written),
    ]
    given: dict[str, Given] = {}
    for source in sources:  # from the weakest to the strongest
        given.update({n: v for n, v in source.given.items() if n.partition(".")[0] not in without})
    problems = [problem for source in sources for problem in source.problems]
    try:
        settings = Settings.model_validate(_nested(given))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=True, include_context=True)
        problems.extend(_problem(detail, given) for detail in details)
        raise SettingsError(problems) from None  # the cause would hold the values
    if problems:
        raise SettingsError(problems)
    origins = {name: given[name].origin if name in given else _DEFAULT for name in settings_by_name()}
    return Loaded(settings, origins, file)


def _file(environ: Mapping[str, str], named: Path | None, folder: Path) -> Path | None:
    if named is not None:
        return named
    if path := environ.get(CONFIG_VARIABLE):
        return Path(path)
    usual = folder / DEFAULT_FILE
    return usual if usual.is_file() else None


def _nested(given: Mapping[str, Given]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for name, (value, _) in given.items():
        group, _, field = name.rpartition(".")
        branch = tree.setdefault(group, {}) if group else tree
        assert isinstance(branch, dict)
        branch[field] = value
    return tree


def _problem(detail: ErrorDetails, given: Mapping[str, Given]) -> SettingProblem:
    parts = [str(part) for part in detail["loc"]]
    name = next((n for n in _prefixes(parts) if n in settings_by_name()), ".".join(parts))
    where = given[name].origin.where if name in given else name
    return SettingProblem(where, _text(detail, name))


def _prefixes(parts: list[str]) -> Iterator[str]:
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end])


def _text(detail: ErrorDetails, name: str) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    setting = settings_by_name().get(name)
    if setting is None or detail["type"] == "value_error":
        return message
    if setting.choices:
        near = nearest(str(detail["input"]), dict.fromkeys(setting.choices))
        hint = f"; did you mean {near}?" if near else ""
        return f"must be one of {', '.join(setting.choices)}{hint}"
    return f"{_RULES.get(detail['type'], message).format(**detail.get('ctx', {}))} (given: {_kind(detail['input'])})"


def _kind(value: object) -> str:
    """What a value is, without saying it: it may be a secret in the wrong place."""
    match value:
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return f"text of {len(value)} character{'s' * (len(value) != 1)}"
        case list():
            return "a list"
        case _:
            return type(value).__name__
