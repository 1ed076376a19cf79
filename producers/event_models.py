"""Which model of the contract judges an event, by its `event_type`.

Loading it loads the models, which takes a quarter of a second: the SDK does so when it first checks an event.
"""

from __future__ import annotations

from tokentide.schemas.call import CallEvent
from tokentide.schemas.evaluation import EVALUATION, EvaluationEvent
from tokentide.schemas.part import PART_TYPES, PartEvent
from tokentide.schemas.problems import kind_of

EventModel = type[CallEvent] | type[EvaluationEvent]


def model_for(event_type: object) -> EventModel:
    """Return the model; what has no type, or none that is known, is judged as a call."""
    if event_type == EVALUATION:
        return EvaluationEvent
    if isinstance(event_type, str) and event_type in PART_TYPES:
        return PartEvent
    return CallEvent


def type_problem(event_type: object) -> str | None:
    """Return what is wrong with the type itself, with all that it may be; None: nothing."""
    if event_type in (None, "", "call") or model_for(event_type) is not CallEvent:
        return None
    return (
        f"event_type: is {kind_of(event_type)} and not known; use call (or leave it out), "
        "request, response, error or evaluation"
    )
