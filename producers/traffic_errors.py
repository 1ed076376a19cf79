"""Errors of the tools that send recorded or made-up traffic.

    TrafficError
    ├── InputError           a file cannot be opened or read to its end
    ├── OptionError          an option of `ship`, `replay` or `simulate` cannot be used
    ├── MappingError         a mapping file cannot be used; names every line at fault
    └── SinkError
        ├── ConnectError     no broker answers, the topic is missing, or access is refused
        └── DeliveryError    a record was not acknowledged; says how many events were

What is wrong with one line or row is no error but a value that is counted and listed.
No message repeats a text of the data: it may be a prompt or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class TrafficError(Exception):
    """Base of the tools' errors; the message says what to do."""


class InputError(TrafficError):
    """An input cannot be read."""


class OptionError(TrafficError):
    """An option cannot be used; the message names it and what it may be."""


class MappingProblem(NamedTuple):
    """One thing wrong with a mapping file."""

    line: int | None
    path: str
    """Of the key at fault, such as `fields.input_tokens.unit`."""
    text: str


class MappingError(TrafficError):
    """A mapping cannot be used, or does not fit its file."""

    def __init__(self, name: str, problems: Sequence[MappingProblem]) -> None:
        self.name = name
        self.problems = tuple(problems)
        super().__init__("\n".join(_listed(name, problem) for problem in problems))


def _listed(name: str, problem: MappingProblem) -> str:
    place = name if problem.line is None else f"{name}, line {problem.line}"
    return f"{place}: {problem.path}: {problem.text}" if problem.path else f"{place}: {problem.text}"


class SinkError(TrafficError):
    """Events could not be sent."""


class ConnectError(SinkError):
    """Kafka cannot be reached or used; nothing was sent."""


class DeliveryError(SinkError):
    """A record was not acknowledged. Events taken after the last `flush()` may or may not be stored.

    Run the same command again: events keep their ids, so that those already stored are not stored twice.
    """

    def __init__(self, reason: str, *, acknowledged: int) -> None:
        super().__init__(f"{reason}; {acknowledged:,} events were acknowledged before")
        self.acknowledged = acknowledged
