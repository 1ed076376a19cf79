"""A setting that nothing reads is a lie."""

from __future__ import annotations

import ast
from pathlib import Path

from tokentide.config.catalogue import settings_by_name

FOLDERS = ("stream", "sinks", "producers", "embedded", "cli", "sql")


def attributes(repository: Path) -> set[str]:
    """Every name that is read as an attribute anywhere in the product."""
    files = [file for folder in FOLDERS for file in (repository / folder).rglob("*.py")]
    files += [repository / "tokentide" / "config" / name for name in ("kafka.py", "topics.py", "settings.py")]
    return {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }


def test_every_setting_is_read_somewhere(repository: Path) -> None:
    used = attributes(repository)
    unused = {name for name in settings_by_name() if name.rpartition(".")[2] not in used}
    assert unused == set()
