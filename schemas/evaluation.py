"""A judgement of a call that arrives after it: a score, or what the user said."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from tokentide.schemas.call import Quality, WhereText, known_version
from tokentide.schemas.fields import Id, Labels, RequiredId, RequiredText, Text, Timestamp
from tokentide.schemas.limits import SCHEMA_VERSION

EVALUATION: Final = "evaluation"


def _says_something(quality: Quality) -> Quality:
    if quality.score is None and not quality.label:
        raise PydanticCustomError("nothing_said", "must have `score`, `label` or both")
    return quality


class EvaluationEvent(BaseModel):
    """One judgement of the call that a `request_id` names.

    Raises:
        pydantic.ValidationError: on a missing field, a wrong type or a value outside its limits;
            `tokentide.schemas.problems` turns it into a reason and a remedy.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        title="Tokentide evaluation event",
        json_schema_extra={
            "description": "A score or a label for the call of a `request_id`, sent when it is known; needs at least one "
            "of `quality.score` and `quality.label`. Fields not named here are accepted."
        },
    )

    event_type: Literal["evaluation"] = Field(description="`evaluation`.")
    schema_version: Annotated[
        Literal[1], BeforeValidator(known_version), WithJsonSchema({"enum": [SCHEMA_VERSION, None]})
    ] = Field(default=SCHEMA_VERSION, description="1; may be left out.")
    event_id: RequiredId = Field(description="Unique; the deduplication key.")
    timestamp: Timestamp = Field(
        description="When it was judged: RFC 3339 with a zone, or seconds or milliseconds since 1970."
    )
    service: RequiredText = Field(description="The service of the call.")
    request_id: RequiredId = Field(description="The `request_id` of the call.")
    environment: WhereText = Field(default="default", description="Such as `production` or `staging`.")
    tenant: Text | None = Field(default=None, description="The customer the call was made for.")
    user_id: Id | None = Field(default=None, description="Who judged; send a pseudonym.")
    labels: Labels | None = Field(
        default=None, description="Up to 16 short pairs, such as the evaluator's name."
    )
    quality: Annotated[Quality, AfterValidator(_says_something)] = Field(
        description="The judgement.",
        json_schema_extra={"anyOf": [{"required": ["score"]}, {"required": ["label"]}]},
    )
