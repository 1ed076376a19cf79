"""Names of fields that the contract does not have, over a whole file: each once, with how many events have it.

The contract accepts unknown fields, so that producers may be newer than workers; a misspelt one is lost without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tokentide.producers.contract_names import described, unknown_names

MOST_NAMES: Final = 20
"""Of a file whose keys are ids there is no end of names."""


class UnknownField(NamedTuple):
    """A name that the contract does not have."""

    field: str
    """With the object it is in, such as `stages.modle_ms`."""
    events: int
    """How many have it."""
    problem: str
    """With the nearest name that the contract has, where there is one."""


class UnknownNames:
    """Counts names; cheap enough to be shown every event."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self.more = 0
        """How often names were met beyond the first `MOST_NAMES`."""

    def look(self, event: Mapping[str, object]) -> None:
        """Count the names of one event, those in its parts included."""
        for key in unknown_names(event):
            if key in self._counts or len(self._counts) < MOST_NAMES:
                self._counts[key] = self._counts.get(key, 0) + 1
            else:
                self.more += 1

    def found(self) -> list[UnknownField]:
        """What was counted, the most frequent first, then by name."""
        fields = [_described(part, name, events) for (part, name), events in self._counts.items()]
        return sorted(fields, key=lambda unknown: (-unknown.events, unknown.field))


def _described(part: str, name: str, events: int) -> UnknownField:
    shown = name.encode(errors="replace").decode()  # of half surrogates no reader of JSON makes a name
    misnomer = described(part, shown)
    return UnknownField(misnomer.field, events, misnomer.problem)
