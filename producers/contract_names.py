"""The names of the contract's fields, to tell a misspelt one while the application's author is looking.

The contract itself accepts fields that it does not know, so that producers may be newer than workers; the SDK
sends them unchanged, and says so. The names are written out here because the model that has them
(`tokentide.schemas.call`) takes a quarter of a second to load; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from pydantic_core import from_json

# fmt: off
EVENT_FIELDS: Final = frozenset(
    (
        "event_type", "schema_version", "event_id", "timestamp",
        "service", "environment", "region", "tenant", "user_id", "feature", "labels",
        "request_id", "trace_id", "span_id", "parent_span_id", "conversation_id", "turn",
        "operation", "provider", "request_model", "response_model", "model_version", "deployment", "stream", "service_tier", "finish_reasons",
        "prompt_name", "prompt_version", "variant", "input", "output",
        "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens", "cache_write_1h_input_tokens",
        "reasoning_output_tokens", "cache_reporting", "cost_usd",
        "status", "error", "duration_ms", "time_to_first_chunk_ms", "stages",
        "context", "response_cache", "attempts", "fallback_from", "circuit_open", "compliance", "retrieval",
        "function", "cold_start", "billed_ms", "memory_mb", "concurrency", "queue_length", "infra_cost_usd", "gpu_memory_bytes", "gpu_utilization",
        "quality", "test",
    )
)
PART_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "error": frozenset(("type", "message", "http_status", "stage", "class")),
    "stages": frozenset(
        (
            "gateway_ms", "queue_ms", "cold_start_ms", "parse_ms", "context_ms", "render_ms", "model_ms", "output_ms",
            "network_ms",
        )
    ),
    "context": frozenset(("hit",)),
    "compliance": frozenset(("passed", "violations")),
    "retrieval": frozenset(("documents", "hit", "latency_ms", "top_score")),
    "quality": frozenset(("score", "label")),
}
"""Of the fields that are objects; `labels` may have any names."""

EVALUATION_FIELDS: Final = frozenset(
    (
        "event_type", "schema_version", "event_id", "timestamp", "service", "request_id",
        "environment", "tenant", "user_id", "labels", "quality",
    )
)
# fmt: on
"""Of an `evaluation`, which is not a call."""
OF_APPLICATIONS: Final = frozenset(("region", "feature", "deployment", "model_version", "function", "test"))
"""Fields of a call that say where it was made. Producers give them to all their events, so they are no news in an evaluation."""

_ELSEWHERE: Final[Mapping[str, str]] = {
    "model": "request_model",
    "type": "event_type",
    "latency_ms": "duration_ms",
    "prompt": "input",
    "messages": "input",
    "response": "output",
    "completion": "output",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "session_id": "conversation_id",
    "cost": "cost_usd",
    "score": "quality.score",
}
"""What the same thing is called in other places, too far from the contract's name to be found by likeness."""
_OF_CALL: Final[Mapping[str, str]] = {"model": "model (request_model)"}
"""Keywords of `Producer.call` that are no fields themselves."""
LIKENESS: Final = 0.7
"""Of names, 0 … 1: high enough that `temperature` is not taken for `feature`."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,59}")


class Misnomer(NamedTuple):
    """A name that the contract does not have."""

    field: str
    """With the object it is in, such as `stages.modle_ms`; only its length where it may be more than a name."""
    problem: str


def misnomers(event: bytes) -> list[Misnomer]:
    """Return the names in an encoded event that the contract does not have, those in its parts included."""
    fields = from_json(event)
    if not isinstance(fields, dict):
        return []
    return [described(part, name) for part, name in unknown_names(fields)]


def unknown_names(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the names in an event that the contract does not have: the field that holds each, "" for the event, and the name."""
    is_evaluation = event.get("event_type") == "evaluation"
    known_names = EVALUATION_FIELDS | OF_APPLICATIONS if is_evaluation else EVENT_FIELDS
    for name in event:
        if name not in known_names:
            yield "", name
    for part, known in PART_FIELDS.items():
        inner = event.get(part)
        if isinstance(inner, dict):
            for name in inner:
                if name not in known:
                    yield part, name


def described(part: str, name: str) -> Misnomer:
    """What is to be said of a name that `unknown_names` has yielded."""
    if part:
        return _misnomer(f"{part}.", name, PART_FIELDS[part], {})
    if name in EVENT_FIELDS:
        return Misnomer(name, "is no field of an evaluation; send it with the call")
    return _misnomer("", name, EVENT_FIELDS, _ELSEWHERE)


def misnamed(names: Iterable[str], *, is_call: bool = False) -> list[Misnomer]:
    """Return those of the names that no field of the event has.

    Args:
        names: of fields, or keywords of `Producer.call`.
        is_call: the latter: `model` is one of them.
    """
    others = {**_ELSEWHERE, **_OF_CALL} if is_call else _ELSEWHERE
    return [_misnomer("", str(name), EVENT_FIELDS, others) for name in names if name not in EVENT_FIELDS]


def _misnomer(prefix: str, name: str, known: frozenset[str], others: Mapping[str, str]) -> Misnomer:
    near = get_close_matches(name, [*sorted(known), *others], n=1, cutoff=LIKENESS)
    problem = "is no field of the contract"
    if near:
        problem += f"; did you mean {prefix}{others.get(near[0], near[0])}?"
    # A name that is not like one may be anything, such as a user's address; names are told, values never.
    is_name = (near and name.isprintable()) or _PLAIN_NAME.fullmatch(name)
    return Misnomer(prefix + (name if is_name else f"a name of {len(name)} characters"), problem)
