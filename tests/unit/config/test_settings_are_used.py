"""A setting that nothing reads is a lie."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tokentide.config.catalogue import settings_by_name

FOLDERS = ("stream", "sinks", "producers", "embedded", "cli", "sql")
HOLDERS = {"settings", "_settings", "self", "found"}
"""What holds a group of settings where it is not called by the group's name."""


def reads(repository: Path) -> Mapping[str, set[str]]:
    """Every attribute that is read anywhere in the product, and of what: `settings.worker.stages` is `stages` of `worker`."""
    files = [file for folder in FOLDERS for file in (repository / folder).rglob("*.py")]
    files += [repository / "tokentide" / "config" / name for name in ("kafka.py", "topics.py", "settings.py")]
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found[node.attr].add(last_name(node.value))
    return found


def last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_read(setting: str, found: Mapping[str, set[str]]) -> bool:
    *groups, name = setting.split(".")
    return bool(found.get(name, set()) & (HOLDERS | set(groups[-1:])))


def test_every_setting_is_read_of_its_group(repository: Path) -> None:
    found = reads(repository)
    assert [name for name in settings_by_name() if not is_read(name, found)] == []


@pytest.mark.parametrize("setting", ["metrics.stages", "worker.no_such_name"])
def test_a_name_that_only_others_have_is_not_read(repository: Path, setting: str) -> None:
    assert not is_read(setting, reads(repository))
