"""The SDK's errors. An application sees one only at construction, or where it asked for `strict=True`.

    ProducerError
    ├── EventError       one event cannot be sent as it is
    └── SpoolError       the spool cannot be written or read; handled inside, never raised to callers

Settings that cannot be used raise `tokentide.errors.SettingsError` or `ValueError` at construction.
No message holds a value of an event: it may be a prompt or a secret.
"""

from __future__ import annotations


class ProducerError(Exception):
    """Base of the SDK's own errors."""


class EventError(ProducerError):
    """An event that cannot be sent; mend the field it names. Sending it again cannot help."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}" if field else problem)


class SpoolError(ProducerError):
    """The spool refuses an operation: the disk is full, the folder is not ours, or it may not be written."""
