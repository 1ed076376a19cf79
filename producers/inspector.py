"""A look at some events, so that an application hears of events that the worker will refuse, and of misspelt fields.

The worker judges every event and keeps what it refuses as a dead letter, with the reason. But the people
who can mend the event read the application's log, so a sample is checked here against the same
model: the first events of a process, which are all that a small program has, and then one a second. The event is
sent whatever comes of it: a newer worker may know more than this SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from tokentide.producers.contract_names import misnomers
from tokentide.producers.counts import Counts, log
from tokentide.producers.fork_guard import no_fork
from tokentide.producers.routing import KEYED_TYPES, event_type_of

FIRST_EVENTS: Final = 20
EVERY_S: Final = 1.0


class Inspector:
    """Checks a sample of the encoded events, in the sender's thread."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._first = FIRST_EVENTS
        self._next_at = 0.0
        self._chosen: list[bytes] = []
        self._is_off = False

    def choose(self, events: Sequence[bytes], now: float) -> None:
        """Keep the events that are to be checked; `now` in seconds of a monotonic clock."""
        if self._is_off or not events:
            return
        if self._first:
            taken = list(islice(events, self._first))
            self._first -= len(taken)
            self._chosen += taken
        elif now >= self._next_at:
            self._chosen.append(events[0])
        else:
            return
        self._next_at = now + EVERY_S

    def look(self) -> None:
        """Check what was chosen: once it has been sent, because the first time loads the model for a quarter of a second."""
        chosen, self._chosen = self._chosen, []
        if not chosen:
            return
        try:
            _load()
            for event in chosen:
                self._check(event)
        except Exception as error:  # noqa: BLE001 - a courtesy: what fails here, such as loading at the very end, stops nothing
            self._is_off = True
            log.debug("events are not checked any more (%s)", type(error).__name__)

    def _check(self, event: bytes) -> None:
        for field, problem in misnomers(event):
            self._counts.unknown(field, problem)
        if refusal := contract_problem(event):
            self._counts.suspicion(refusal)


def contract_problem(event: bytes) -> str | None:
    """Return what the contract says against an encoded event of its type, with the field's name; None: nothing.

    The text never holds a value that is text.
    """
    with no_fork():  # loaded when first needed, to spare applications that never check
        from pydantic import ValidationError  # noqa: PLC0415

        from tokentide.producers.event_models import model_for, type_problem  # noqa: PLC0415
        from tokentide.schemas.problems import problem_of  # noqa: PLC0415

    kind = event_type_of(event)
    if wrong_type := type_problem(kind):
        return wrong_type
    try:
        model_for(kind).model_validate_json(event)
    except ValidationError as error:
        return problem_of(error).error
    return None


def _load() -> None:
    """Load the model and use it once while no process can be forked: what it prepares at first use is then complete."""
    with no_fork():
        from pydantic import ValidationError  # noqa: PLC0415

        from tokentide.producers.event_models import model_for  # noqa: PLC0415
        from tokentide.schemas.problems import problem_of  # noqa: PLC0415

        for kind in ("call", *KEYED_TYPES):
            try:
                model_for(kind).model_validate_json(b"{}")
            except ValidationError as error:
                problem_of(error)
