from __future__ import annotations

import pyarrow as pa
import pytest

from tokentide.schemas.call import CallEvent
from tokentide.stream.decode.rows import events_table, finished
from tokentide.stream.enrich import enricher as enricher_module
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.dropping import Dropping
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.enrich.failures import scrub_error_messages
from tokentide.stream.pricing.book import GenaiBook
from tokentide.stream.tokens import TokenMemory


def failing(text: str) -> str:
    if "bad" in text:
        raise RecursionError
    return text.upper()


def test_a_message_that_cannot_be_redacted_is_dropped_and_its_neighbours_are_kept() -> None:
    table = pa.table({"error_message": ["good", "bad", None]})
    scrubbed = scrub_error_messages(table, 3, Dropping(failing))
    assert scrubbed["error_message"].to_pylist() == ["GOO", None, None]


def test_what_is_dropped_is_counted_of_messages_and_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enricher_module, "redact", failing)
    rules = ContentRules(keep_services=frozenset({"s"}), redact=failing)
    enricher = Enricher([GenaiBook()], rules, TokenMemory())
    events = [
        {"event_id": "1", "timestamp": 1_769_860_800, "service": "s", "input": "bad", "output": "good"},
        {"event_id": "2", "timestamp": 1_769_860_800, "service": "s", "error": {"message": "bad news"}},
    ]
    rows = enricher(finished(events_table([CallEvent.model_validate(event) for event in events]))).to_pylist()
    assert [(row["input_text"], row["output_text"], row["error_message"]) for row in rows] == [
        (None, "GOOD", None),
        (None, None, None),
    ]
    assert enricher.dropped_texts == 2
