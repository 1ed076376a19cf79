"""Tokentide: an open telemetry pipeline for applications that call large language models.

    from tokentide import Producer          # the SDK: send one event per call

The code lives in the folders at the top of the repository; `tokentide/` holds one link to each,
so that they install as `tokentide.schemas`, `tokentide.stream`, … (see docs/decisions/0001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokentide.producers import (
        Call,
        EventError,
        MemoryTransport,
        NullProducer,
        Producer,
        ProducerOptions,
        ProducerStats,
        current_call,
    )

__version__ = "0.1.0"

__all__ = [
    "Call",
    "EventError",
    "MemoryTransport",
    "NullProducer",
    "Producer",
    "ProducerOptions",
    "ProducerStats",
    "__version__",
    "current_call",
]


def __getattr__(name: str) -> object:
    """Load the SDK when one of its names is asked for: the worker and the command line do not need it."""
    if name in __all__:
        from tokentide import producers  # noqa: PLC0415 - see above

        return getattr(producers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
