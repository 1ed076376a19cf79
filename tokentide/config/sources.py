"""Where settings come from: flags, environment, a file. Each yields named values with their origin.

Reads and names; does not judge values (that is `tokentide.config.load`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tokentide.config.catalogue import ENV_PREFIX, names_by_env, nearest, settings_by_name
from tokentide.errors import SettingProblem

Kind = Literal["flag", "environment", "file", "default"]

NOT_SETTINGS: Final = frozenset(
    {
        "TOKENTIDE_CONFIG",  # the path of the file
        # of the test suites:
        "TOKENTIDE_DELIVERY_SCHEDULES",
        "TOKENTIDE_FUZZ_RUNS",
        "TOKENTIDE_FUZZ_SEED",
        "TOKENTIDE_PROPERTY_EXAMPLES",
        "TOKENTIDE_PUBLIC_DATA",
        "TOKENTIDE_REQUIRE_APACHE_KAFKA",
        "TOKENTIDE_REQUIRE_NATIVE",
        "TOKENTIDE_REQUIRE_PUBLIC_DATA",
    }
)
"""Variables of the prefix that are no settings."""

_LINK_NAME: Final = re.compile(
    r".*_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|.*_PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?"
)
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")


class Origin(NamedTuple):
    """Where the value of a setting was read."""

    kind: Kind
    where: str


class Given(NamedTuple):
    """A value as a source gives it; not yet checked."""

    value: object
    origin: Origin


class Source(NamedTuple):
    """What one source said."""

    given: Mapping[str, Given]
    problems: tuple[SettingProblem, ...]


def from_environment(environ: Mapping[str, str]) -> Source:
    """Read `TOKENTIDE_*`. An empty variable counts as not set (compose files write `${NAME:-}`).

    Variables that Kubernetes injects for a service called `tokentide…` are left out.
    """
    given: dict[str, Given] = {}
    problems: list[SettingProblem] = []
    known = names_by_env()
    for variable in sorted(environ):
        value = environ[variable]
        if (
            not variable.startswith(ENV_PREFIX)
            or variable in NOT_SETTINGS
            or _is_service_link(variable, value)
        ):
            continue
        if variable not in known:
            problems.append(_unknown(variable, nearest(variable, known), "tokentide doctor --settings"))
        elif value.strip():
            given[known[variable]] = Given(value, Origin("environment", variable))
    return Source(given, tuple(problems))


def _is_service_link(variable: str, value: str) -> bool:
    """True for Kubernetes' service links, such as `TOKENTIDE_METRICS_PORT=tcp://10.0.0.1:9100`."""
    if variable.endswith("_PORT") and _LINK_VALUE.fullmatch(value):
        return True  # even where a setting has that name: its value would be a number
    return _LINK_NAME.fullmatch(variable) is not None


def from_file(path: Path) -> Source:
    """Read a TOML file: a table per group, `[kafka]` with `bootstrap_servers = ["…"]`.

    Paths in it are relative to the file's own folder.
    """
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        return Source({}, (SettingProblem(str(path), f"cannot be read: {error.strerror}"),))
    except UnicodeDecodeError:
        return Source({}, (SettingProblem(str(path), "is not UTF-8 text"),))
    except tomllib.TOMLDecodeError as error:
        return Source({}, (SettingProblem(str(path), f"is not TOML: {error}"),))
    leaves = ((name, _beside(path, name, value)) for name, value in _leaves(tree, ()))
    return _named(leaves, kind="file", label=f"{path}: ")


def _beside(file: Path, name: str, value: object) -> object:
    setting = settings_by_name().get(name)
    if setting is not None and setting.is_path and isinstance(value, str):
        return file.parent / Path(value).expanduser()
    return value


def from_flags(flags: Mapping[str, object], written: Mapping[str, str] | None = None) -> Source:
    """Take settings from the command line, by name; None counts as not given.

    `written` gives for a name the flag as the user wrote it, for messages.
    """
    pairs = ((name, value) for name, value in flags.items() if value is not None)
    return _named(pairs, kind="flag", label="--set ", written=written or {})


def _named(
    pairs: Iterator[tuple[str, object]], *, kind: Kind, label: str, written: Mapping[str, str] | None = None
) -> Source:
    given: dict[str, Given] = {}
    problems: list[SettingProblem] = []
    known = settings_by_name()
    groups = {name.partition(".")[0] for name in known if "." in name}
    for name, value in pairs:
        where = (written or {}).get(name, f"{label}{name}")
        if name in known:
            given[name] = Given(value, Origin(kind, where))
        elif name in groups:
            problems.append(SettingProblem(where, f"is a group of settings: write a table, [{name}]"))
        else:
            problems.append(_unknown(where, nearest(name, known), "tokentide doctor --settings"))
    return Source(given, tuple(problems))


def _unknown(where: str, near: str | None, listing: str) -> SettingProblem:
    hint = f"did you mean {near}?" if near else f"`{listing}` lists all"
    return SettingProblem(where, f"no such setting; {hint}")


def _leaves(tree: Mapping[str, object], path: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        elif not isinstance(value, dict):
            yield ".".join((*path, key)), value
