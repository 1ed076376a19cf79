"""What the providers' responses say about usage, as fields of the event. No provider's SDK is imported:
objects and dictionaries are read alike, whole responses and single chunks of a stream too.

Two conventions meet here, and mixing them up is the commonest error in the cost of calls:

- OpenAI and those compatible with it: `prompt_tokens` (`input_tokens` in the Responses API) **includes**
  the cached ones.
- Anthropic: `input_tokens` **excludes** what was read from and written to the cache. The fields say so
  with `cache_reporting: exclusive`.

A number that the response does not give is left out; nothing is counted or guessed. Field names as of
OpenAI API reference and Anthropic API reference, October 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Fields = dict[str, object]


def openai_fields(response: object) -> Fields:
    """Return the event's fields of a response, chunk or usage of OpenAI, Azure OpenAI and the compatible.

    Chat completions, completions, embeddings, and the Responses API with its stream's events.
    """
    body = _first(_get(response, "response"), response)  # events of the Responses API wrap it
    usage = _first(_get(body, "usage"), _get(_get(body, "x_groq"), "usage"))
    if usage is None and _count(_first(_get(body, "prompt_tokens"), _get(body, "input_tokens"))) is not None:
        usage = body  # the usage itself was passed
    in_details = _first(_get(usage, "prompt_tokens_details"), _get(usage, "input_tokens_details"))
    out_details = _first(_get(usage, "completion_tokens_details"), _get(usage, "output_tokens_details"))
    return _known(
        input_tokens=_count(_first(_get(usage, "prompt_tokens"), _get(usage, "input_tokens"))),
        output_tokens=_count(_first(_get(usage, "completion_tokens"), _get(usage, "output_tokens"))),
        cache_read_input_tokens=_count(
            _first(_get(in_details, "cached_tokens"), _get(usage, "prompt_cache_hit_tokens"))
        ),
        reasoning_output_tokens=_count(_get(out_details, "reasoning_tokens")),
        response_model=_text(_get(body, "model")),
        service_tier=_text(_get(body, "service_tier")),
        finish_reasons=list(dict.fromkeys(_openai_reasons(body))) or None,
    )


def anthropic_fields(message: object) -> Fields:
    """Return the event's fields of a message, a stream's event or a usage of Anthropic.

    Of a stream, pass every event, or `message_start` and `message_delta`: the first has the input, the
    last the final output.
    """
    body = _first(_get(message, "message"), message)  # the event `message_start` wraps it
    usage = _get(body, "usage")
    if usage is None and _count(_get(body, "output_tokens")) is not None:
        usage = body
    reason = _first(_get(body, "stop_reason"), _get(_get(body, "delta"), "stop_reason"))
    return _known(
        input_tokens=_count(_get(usage, "input_tokens")),
        output_tokens=_count(_get(usage, "output_tokens")),
        cache_read_input_tokens=_count(_get(usage, "cache_read_input_tokens")),
        cache_write_input_tokens=_count(_get(usage, "cache_creation_input_tokens")),
        cache_write_1h_input_tokens=_count(_get(_get(usage, "cache_creation"), "ephemeral_1h_input_tokens")),
        cache_reporting=None if usage is None else "exclusive",
        response_model=_text(_get(body, "model")),
        service_tier=_text(_get(usage, "service_tier")),
        finish_reasons=[reason] if isinstance(reason, str) else None,
    )


def _openai_reasons(body: object) -> Iterator[str]:
    choices = _get(body, "choices")
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        for choice in choices:
            if isinstance(reason := _get(choice, "finish_reason"), str):
                yield reason
    elif _get(body, "object") == "response":
        why = _first(_get(_get(body, "incomplete_details"), "reason"), _get(body, "status"))
        if isinstance(why, str) and why != "in_progress":
            yield why


def _known(**fields: object) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _get(thing: object, name: str) -> object:
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def _first(*values: object) -> object:
    return next((value for value in values if value is not None), None)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
