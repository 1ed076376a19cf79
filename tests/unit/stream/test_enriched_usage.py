"""Input tokens include the cached ones, whoever reported or counted them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.pricing import GenaiBook
from tokentide.stream.tokens import TokenMemory

PROMPT = "one two three four five six seven eight nine"
"""Nine tokens, and some more around them as the chat formula says."""


def enriched(**fields: Any) -> dict[str, Any]:
    event = {
        "event_id": "e",
        "timestamp": "2026-01-31T12:00:30Z",
        "service": "s",
        "request_model": "gpt-4o",
        "operation": "text_completion",
        **fields,
    }
    decoded = Decoder().decode([json.dumps(event).encode()])
    (row,) = Enricher([GenaiBook()], ContentRules(), TokenMemory())(decoded.table).to_pylist()
    return dict(row)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input_tokens": 9, "cache_reporting": "exclusive"}, 109),
        ({"input_tokens": 109}, 109),
        ({"input": PROMPT, "cache_reporting": "exclusive", "cache_read_input_tokens": 4}, 9),
        ({"input": PROMPT, "cache_reporting": "exclusive"}, 100),
        ({"input": PROMPT, "cache_reporting": "exclusive", "cache_write_input_tokens": 20}, 120),
    ],
    ids=[
        "reported without them",
        "reported with them",
        "the counted text holds them",
        "more came from the cache than the text has",
        "written ones too",
    ],
)
def test_input_tokens_are_the_whole_prompt(fields: dict[str, Any], expected: int) -> None:
    row = enriched(**{"cache_read_input_tokens": 100, **fields})
    assert row["input_tokens"] == expected
    assert row["input_tokens_source"] == ("counted" if "input" in fields else "reported")
