"""A look at one event a second, so that an application hears of events that the worker will refuse.

The worker judges every event and keeps what it refuses as a dead letter, with the reason. But the people
who can mend the event read the application's log, so a sample is checked here against the same
model. The event is sent whatever comes of it: a newer worker may know more than this SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tokentide.producers.counts import Counts
from tokentide.producers.fork_guard import no_fork

FIRST_AFTER_S: Final = 5.0
"""Short-lived processes are spared the loading of the model, about a quarter of a second of CPU."""
EVERY_S: Final = 1.0


class Inspector:
    """Checks a sample of the encoded events, in the sender's thread."""

    def __init__(self, counts: Counts, monotonic: Callable[[], float]) -> None:
        self._counts = counts
        self._next_at = monotonic() + FIRST_AFTER_S

    def look(self, event: bytes, now: float) -> None:
        """Check the event if it is time to; `now` in seconds of `monotonic`."""
        if now >= self._next_at:
            self._next_at = now + EVERY_S
            problem = contract_problem(event)
            if problem is not None:
                self._counts.suspicion(problem)


def contract_problem(event: bytes) -> str | None:
    """Return what the contract says against an encoded event, with the field's name; None: nothing.

    The text never holds a value that is text.
    """
    with no_fork():  # loaded when first needed, see FIRST_AFTER_S
        from pydantic import ValidationError  # noqa: PLC0415

        from tokentide.schemas.call import CallEvent  # noqa: PLC0415
        from tokentide.schemas.problems import problem_of  # noqa: PLC0415

    try:
        CallEvent.model_validate_json(event)
    except ValidationError as error:
        return problem_of(error).error
    return None
