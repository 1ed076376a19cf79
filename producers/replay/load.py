"""Mappings from TOML: those that come with the product by name, the user's own by path.

Every problem of a file is reported at once, each with its line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from tokentide.producers.replay.document import DocumentReader
from tokentide.producers.replay.mapping import TraceMapping
from tokentide.producers.replay.strict import FaultError, suggestion
from tokentide.producers.replay.toml_lines import KeyPath, key_lines, line_of
from tokentide.producers.traffic_errors import MappingError, MappingProblem


class KnownMapping(NamedTuple):
    """A mapping that comes with the product."""

    name: str
    description: str


@cache
def known_mappings() -> tuple[KnownMapping, ...]:
    """The traces that need no mapping file of the user's, by name."""
    folder = files("tokentide.producers") / "mappings"
    names = sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )
    return tuple(KnownMapping(name, load_mapping(name).description) for name in names)


def load_mapping(name_or_path: str) -> TraceMapping:
    """The mapping of that name, else of the file at that path.

    Raises:
        MappingError: there is neither, or the file cannot be used.
    """
    known = files("tokentide.producers") / "mappings" / f"{name_or_path}.toml"
    if "/" not in name_or_path and "\\" not in name_or_path and known.is_file():
        return parse_mapping(known.read_text("utf-8"), name_or_path)
    try:
        text = Path(name_or_path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        names = [mapping.name for mapping in known_mappings()]
        hint = suggestion(name_or_path, names)
        raise _refused(name_or_path, f"is neither a known trace nor a mapping file{hint}") from None
    except OSError as error:
        raise _refused(name_or_path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refused(name_or_path, f"is not UTF-8 at byte {error.start + 1}") from error
    return parse_mapping(text, Path(name_or_path).name)


def parse_mapping(text: str, name: str) -> TraceMapping:
    """A mapping from the text of its file; `name` is for messages and stands where the file gives none.

    Raises:
        MappingError: the text is no TOML, or not a mapping; lists every problem found.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refused(name, f"is not TOML: {error}") from error
    lines = key_lines(text)
    reader = DocumentReader(document)
    mapping = reader.read(Path(name).name.removesuffix(".toml"), lines)
    if reader.faults or mapping is None:
        raise MappingError(name, [_located(fault, lines) for fault in reader.faults])
    return replace(mapping, file=name)


def _refused(name: str, text: str) -> MappingError:
    return MappingError(name, [MappingProblem(None, "", text)])


def _located(fault: FaultError, lines: Mapping[KeyPath, int]) -> MappingProblem:
    path = "".join(f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in fault.path).lstrip(".")
    return MappingProblem(line_of(fault.path, dict(lines)), path, fault.text)
