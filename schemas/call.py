"""One call of a large language model: the event that applications send when the call has finished.

This model is the contract. The JSON Schema for other languages, the Arrow schema of the worker and the
columns of ClickHouse are derived from it or tested against it. Names follow the OpenTelemetry
conventions for generative AI where those have one.

Optional means optional: a number that is not known is left out and stays unknown; it never becomes 0.
Empty text means the same as an absent field. Fields that the contract does not know are accepted and
counted, so that producers may be newer than workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from tokentide.schemas.fields import (
    Bytes,
    Content,
    Count,
    Flag,
    Fraction,
    HttpStatus,
    Id,
    Kind,
    Labels,
    Milliseconds,
    Money,
    Number,
    Ordinal,
    RequiredId,
    RequiredText,
    Text,
    Texts,
    Timestamp,
    absent_if_empty,
    or_empty,
)
from tokentide.schemas.limits import MAX_TEXT, SCHEMA_VERSION

Status = Literal["ok", "error", "cancelled"]
CacheReporting = Literal["inclusive", "exclusive"]
ResponseCache = Literal["none", "exact", "semantic"]
ErrorStage = Literal["input_parse", "prompt_render", "context", "model_call", "output", "compliance"]
ErrorClass = Literal[
    "timeout",
    "rate_limit",
    "auth",
    "quota",
    "context_length",
    "invalid_request",
    "content_filter",
    "server",
    "network",
    "other",
]
ErrorOwner = Literal["provider", "application", "user"]


def known_version(value: object) -> object:
    """Absence is the current version; `true` is not 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("version_type", "must be {version}", {"version": SCHEMA_VERSION})
    return SCHEMA_VERSION if value is None else value


def _call_if_absent(value: object) -> object:
    return "call" if value is None or value == "" else value


def _default_if_absent(value: object) -> object:
    return "default" if value is None or value == "" else value


WhereText = Annotated[
    Text,
    BeforeValidator(_default_if_absent),
    WithJsonSchema({"type": ["string", "null"], "maxLength": MAX_TEXT}),
]
"""Null and empty text are the same as absence everywhere, so also where absence has a default."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorInfo(_Part):
    """What went wrong, as far as the application knows."""

    type: Text | None = Field(
        default=None, description="Exception or provider code, such as `RateLimitError`."
    )
    message: Annotated[str, Field(strict=True), Kind("text")] | None = Field(
        default=None, description="Cut to 500 characters and scrubbed of secrets before it is stored."
    )
    http_status: HttpStatus | None = Field(default=None, description="HTTP status of the model's answer.")
    stage: Annotated[ErrorStage | None, Kind("text"), BeforeValidator(absent_if_empty)] = Field(
        json_schema_extra=or_empty, default=None, description="Step of the call that failed."
    )
    class_: Annotated[ErrorClass | None, Kind("text"), BeforeValidator(absent_if_empty)] = Field(
        json_schema_extra=or_empty,
        default=None,
        alias="class",
        description="Derived from status and type when absent.",
    )


class Stages(_Part):
    """Where the time went, in milliseconds; any subset."""

    gateway_ms: Milliseconds | None = Field(default=None, description="In the API gateway or proxy.")
    queue_ms: Milliseconds | None = Field(default=None, description="Waiting for a worker or a slot.")
    cold_start_ms: Milliseconds | None = Field(default=None, description="Starting the function or model.")
    parse_ms: Milliseconds | None = Field(default=None, description="Reading and checking the request.")
    context_ms: Milliseconds | None = Field(default=None, description="Loading the conversation's context.")
    render_ms: Milliseconds | None = Field(default=None, description="Rendering the prompt.")
    model_ms: Milliseconds | None = Field(default=None, description="The model call itself.")
    output_ms: Milliseconds | None = Field(default=None, description="Checking and shaping the answer.")
    network_ms: Milliseconds | None = Field(default=None, description="On the wire, where measured apart.")


class Context(_Part):
    """The conversation's context cache."""

    hit: Flag | None = Field(
        default=None, description="A multi-turn request found its context in the cache; absent: not reported."
    )


class Compliance(_Part):
    """Result of the output check; absent: not checked."""

    passed: Flag | None = Field(default=None, description="The answer passed the policy.")
    violations: Texts | None = Field(default=None, description="Names of the rules it broke.")


class Retrieval(_Part):
    """Documents fetched for the prompt (RAG)."""

    documents: Count | None = Field(default=None, description="Documents put into the prompt.")
    hit: Flag | None = Field(default=None, description="Something fitting was found.")
    latency_ms: Milliseconds | None = Field(default=None, description="Time of the search.")
    top_score: Number | None = Field(default=None, description="Score of the best document, any scale.")


class Quality(_Part):
    """A judgement of the answer."""

    score: Fraction | None = Field(default=None, description="0 (bad) … 1 (good).")
    label: Text | None = Field(default=None, description="Such as `thumbs_up` or the evaluator's verdict.")


class CallEvent(BaseModel):
    """One finished call of a model.

    Raises:
        pydantic.ValidationError: on a missing field, a wrong type, a value outside its limits or numbers
            that contradict each other; `tokentide.schemas.problems` turns it into a reason and a remedy.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        title="Tokentide call event",
        json_schema_extra={
            "description": "One finished call of a model. Fields not named here are accepted."
        },
        protected_namespaces=(),
    )

    event_type: Annotated[
        Literal["call"], BeforeValidator(_call_if_absent), WithJsonSchema({"enum": ["call", "", None]})
    ] = Field(default="call", description="`call`; may be left out.")
    schema_version: Annotated[
        Literal[1], BeforeValidator(known_version), WithJsonSchema({"enum": [SCHEMA_VERSION, None]})
    ] = Field(default=SCHEMA_VERSION, description="1; may be left out.")

    # identity
    event_id: RequiredId = Field(description="Unique; the deduplication key. A UUIDv7 from the SDK.")
    timestamp: Timestamp = Field(
        description="When the call finished: RFC 3339 with a zone, or seconds or milliseconds since 1970. "
        "The event time of windows and of prices."
    )

    # where
    service: RequiredText = Field(description="The application or component that made the call.")
    environment: WhereText = Field(default="default", description="Such as `production` or `staging`.")
    region: WhereText = Field(default="default", description="Where the application runs.")
    tenant: Text | None = Field(default=None, description="The customer the call was made for.")
    user_id: Id | None = Field(default=None, description="The end user; send a pseudonym.")
    feature: Text | None = Field(default=None, description="The product feature the call belongs to.")
    labels: Labels | None = Field(default=None, description="Up to 16 short pairs, kept for SQL.")

    # trace
    request_id: Id | None = Field(default=None, description="Of the application's request.")
    trace_id: Id | None = Field(default=None, description="OpenTelemetry trace.")
    span_id: Id | None = Field(default=None, description="OpenTelemetry span.")
    parent_span_id: Id | None = Field(default=None, description="OpenTelemetry parent span.")
    conversation_id: Id | None = Field(default=None, description="The conversation or session.")
    turn: Ordinal | None = Field(
        default=None, description="Turn of the conversation, from 1; above 1 is a multi-turn request."
    )

    # call
    operation: Text | None = Field(default=None, description="`chat`, `text_completion`, `embeddings`, …")
    provider: Text | None = Field(default=None, description="`openai`, `anthropic`, `aws.bedrock`, …")
    request_model: Text | None = Field(default=None, description="The model asked for.")
    response_model: Text | None = Field(
        default=None, description="The model that answered; the price goes by it, else by the one asked for."
    )
    model_version: Text | None = Field(default=None, description="Version label of a model you host.")
    deployment: Text | None = Field(
        default=None, description="Rollout label, to tie a change of latency to a deployment."
    )
    stream: Flag | None = Field(default=None, description="The answer was streamed.")
    service_tier: Text | None = Field(default=None, description="Such as `batch`, `flex` or `priority`.")
    finish_reasons: Texts | None = Field(default=None, description="Why the model stopped.")

    # prompt
    prompt_name: Text | None = Field(default=None, description="The template; absent: built by hand.")
    prompt_version: Text | None = Field(default=None, description="The template's version.")
    variant: Text | None = Field(default=None, description="A/B or shadow group.")
    input: Content | None = Field(
        default=None, description="The prompt; only needed where the usage is not reported."
    )
    output: Content | None = Field(
        default=None, description="The answer; only needed where the usage is not reported."
    )

    # usage
    input_tokens: Count | None = Field(
        default=None, description="Tokens of the prompt, those from the cache included."
    )
    output_tokens: Count | None = Field(default=None, description="Tokens of the answer, reasoning included.")
    cache_read_input_tokens: Count | None = Field(
        default=None, description="Part of the input that came from the provider's prompt cache."
    )
    cache_write_input_tokens: Count | None = Field(
        default=None, description="Part of the input that was written to that cache, for any lifetime."
    )
    cache_write_1h_input_tokens: Count | None = Field(
        default=None, description="Part of `cache_write_input_tokens` written with a lifetime of one hour."
    )
    reasoning_output_tokens: Count | None = Field(
        default=None, description="Part of the output spent on reasoning."
    )
    cache_reporting: Annotated[CacheReporting | None, Kind("text"), BeforeValidator(absent_if_empty)] = Field(
        json_schema_extra=or_empty,
        default=None,
        description="`inclusive` (the default): `input_tokens` holds the cached tokens too; "
        "`exclusive`: it does not (Anthropic's raw usage).",
    )
    cost_usd: Money | None = Field(
        default=None, description="The provider's own figure; wins over ours and is marked so."
    )

    # outcome
    status: Annotated[Status | None, Kind("text"), BeforeValidator(absent_if_empty)] = Field(
        json_schema_extra=or_empty,
        default=None,
        description="`ok`, `error`, or `cancelled` (by the user: not an error). "
        "When absent: `error` if `error` is there, else `ok`.",
    )
    error: ErrorInfo | None = None

    # timing
    duration_ms: Milliseconds | None = Field(default=None, description="End to end, as the user felt it.")
    time_to_first_chunk_ms: Milliseconds | None = Field(default=None, description="Streaming calls only.")
    stages: Stages | None = None

    # context, caches, retries
    context: Context | None = None
    response_cache: Annotated[ResponseCache | None, Kind("text"), BeforeValidator(absent_if_empty)] = Field(
        json_schema_extra=or_empty,
        default=None,
        description="The answer itself came from a cache (then the call cost nothing).",
    )
    attempts: Ordinal | None = Field(default=None, description="Tries of the call, from 1.")
    fallback_from: Text | None = Field(default=None, description="The model that failed before this one.")
    circuit_open: Flag | None = Field(default=None, description="A circuit breaker kept the call back.")

    compliance: Compliance | None = None
    retrieval: Retrieval | None = None

    # runtime
    function: Text | None = Field(default=None, description="Serverless function that ran the call.")
    cold_start: Flag | None = Field(default=None, description="The function was started for this call.")
    billed_ms: Milliseconds | None = Field(default=None, description="Time billed by the platform.")
    memory_mb: Count | None = Field(default=None, description="Memory of the function.")
    concurrency: Count | None = Field(default=None, description="Calls in flight when this one began.")
    queue_length: Count | None = Field(default=None, description="Calls waiting when this one began.")
    infra_cost_usd: Money | None = Field(default=None, description="Cost of the host for this call.")
    gpu_memory_bytes: Bytes | None = Field(default=None, description="GPU memory in use.")
    gpu_utilization: Fraction | None = Field(default=None, description="0 … 1.")

    quality: Quality | None = None

    test: Flag | None = Field(default=None, description="True: counted apart and kept out of every metric.")

    @model_validator(mode="after")
    def _numbers_agree(self) -> Self:
        if text := contradiction(self.__dict__.get):
            raise PydanticCustomError("inconsistent", "{text}", {"text": text})
        return self


class Containment(NamedTuple):
    """The parts together may not be more than the whole; an unknown part counts as nothing."""

    parts: tuple[str, ...]
    whole: str
    inclusive_only: bool = False
    """Holds only where `input_tokens` contains the cached tokens."""


CONTAINMENT: Final = (
    Containment(("reasoning_output_tokens",), "output_tokens"),
    Containment(("cache_write_1h_input_tokens",), "cache_write_input_tokens"),
    Containment(("cache_read_input_tokens", "cache_write_input_tokens"), "input_tokens", inclusive_only=True),
)


def contradiction(value_of: Callable[[str], object]) -> str | None:
    """What two numbers of a call cannot be together; `value_of` gives a column by its name, None where it is unknown."""
    for rule in CONTAINMENT:
        if rule.inclusive_only and value_of("cache_reporting") == "exclusive":
            continue
        whole = value_of(rule.whole)
        if not isinstance(whole, int):
            continue
        known = [value for part in rule.parts if isinstance(value := value_of(part), int)]
        if sum(known) > whole:
            return f"{' + '.join(rule.parts)} ({sum(known)}) is more than {rule.whole} ({whole}), which contains it"
    return None
