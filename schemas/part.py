"""A part of a call: `request`, `response` or `error`, for applications that log these steps as separate events.

The worker joins the parts of one `service` and `request_id` that lie in one Kafka partition into one call; so senders use
the `request_id` as Kafka key. A part may carry any field of a call.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import ConfigDict, Field, WithJsonSchema

from tokentide.schemas.call import CallEvent
from tokentide.schemas.fields import RequiredId

PartType = Literal["request", "response", "error"]
PART_TYPES: Final[frozenset[str]] = frozenset(get_args(PartType))


class PartEvent(CallEvent):
    """One part of a call.

    Raises:
        pydantic.ValidationError: as `CallEvent`, and where `request_id` is missing.
    """

    model_config = ConfigDict(
        title="Tokentide part event",
        json_schema_extra={
            "description": "A request, or its answer (`response`, `error`): one step of a call, logged apart. The worker joins "
            "the two that have one `service` and `request_id`; send both with the `request_id` as Kafka key. "
            "Any field of a call may be in either; the answer's wins. Fields not named here are accepted."
        },
    )

    event_type: Annotated[PartType, WithJsonSchema({"enum": sorted(PART_TYPES)})] = Field(  # type: ignore[assignment]  # other events, same fields
        description="`request`, or its answer: `response`, `error`."
    )
    request_id: RequiredId = Field(
        description="What the parts of one call have in common, within a `service`."
    )
