"""kafka-python's errors; its import warns about a function of the standard library that it still uses."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType


def kafka_python_errors() -> ModuleType:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*_text is deprecated", category=DeprecationWarning)
        return import_module("kafka.errors")
