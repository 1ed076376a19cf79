"""Secrets in texts that are no messages: types of errors, verdicts, labels. No secret here was ever one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.unit.stream.enrich.test_redact import LONG
from tokentide.schemas.call import CallEvent
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.stream.decode.batch import OtherEvent
from tokentide.stream.decode.reference import flat_values
from tokentide.stream.decode.rows import events_table, finished
from tokentide.stream.enrich import short_texts
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.dropping import Dropping
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.enrich.redact import MAY_BE_SECRET, redact_secrets
from tokentide.stream.evaluations import evaluation_rows
from tokentide.stream.pricing.book import GenaiBook
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.tokens import TokenMemory

EVENT = {"event_id": "1", "timestamp": 1_769_860_800, "service": "s"}


def rows_of(*events: dict[str, object]) -> list[dict[str, object]]:
    enricher = Enricher([GenaiBook()], ContentRules(), TokenMemory())
    table = finished(events_table([CallEvent.model_validate({**EVENT, **event}) for event in events]))
    return enricher(table).to_pylist()


def test_a_text_in_the_place_of_an_error_s_type_is_scrubbed_after_it_has_told_the_class() -> None:
    failed, fine = rows_of(
        {"error": {"type": f"AuthenticationError: wrong key sk-{LONG} of anna@mail.example"}},
        {"error": {"type": "RateLimitError"}},
    )
    assert failed["error_type"] == "AuthenticationError: wrong key [secret] of [email]"
    assert (failed["error_class"], fine["error_class"]) == ("auth", "rate_limit")
    assert fine["error_type"] == "RateLimitError"


def test_verdicts_and_violations_are_scrubbed() -> None:
    first, second, third = rows_of(
        {"quality": {"label": f"user says: my token is {LONG}"}, "compliance": {"violations": ["pii: anna@mail.example", "tone"]}},
        {"quality": {"label": "thumbs_up"}, "compliance": {"violations": ["tone"]}},
        {},
    )  # fmt: skip
    assert first["quality_label"] == "user says: my token is [secret]"
    assert first["compliance_violations"] == ["pii: [email]", "tone"]
    assert (second["quality_label"], second["compliance_violations"]) == ("thumbs_up", ["tone"])
    assert (third["quality_label"], third["compliance_violations"]) == (None, None)


def test_labels_lose_their_secrets_and_keep_numbers_and_addresses() -> None:
    first, second, third = rows_of(
        {"labels": {"api_key": LONG, "note": f"Bearer {LONG}", "build": "20260131123456", "owner": "anna@mail.example"}},
        {"labels": {"build": "7", "max_tokens": "4096"}},
        {},
    )  # fmt: skip
    assert dict(first["labels"]) == {  # type: ignore[call-overload]
        "api_key": "[secret]",
        "note": "Bearer [secret]",
        "build": "20260131123456",
        "owner": "anna@mail.example",
    }
    assert dict(second["labels"]) == {"build": "7", "max_tokens": "4096"}  # type: ignore[call-overload]
    assert third["labels"] is None


def test_labels_of_a_part_of_a_table() -> None:
    events = [
        {"labels": {"token": LONG, "n": str(number)}} if number % 2 else {"labels": None}
        for number in range(6)
    ]
    table = finished(events_table([CallEvent.model_validate({**EVENT, **event}) for event in events]))
    rows = short_texts.ShortTexts().table(table.slice(3, 3)).to_pylist()
    assert [row["labels"] for row in rows] == [
        [("token", "[secret]"), ("n", "3")],
        None,
        [("token", "[secret]"), ("n", "5")],
    ]


def test_what_an_event_belongs_to_is_never_changed() -> None:
    names = {"user_id": "anna@mail.example", "tenant": f"sk-{LONG}", "request_id": "4111 1111 1111 1111"}
    (row,) = rows_of(names)
    assert {name: row[name] for name in names} == names


def test_evaluations_are_scrubbed_too() -> None:
    event = EvaluationEvent.model_validate(
        {**EVENT, "event_type": "evaluation", "request_id": "r", "quality": {"label": "call me: +1 (555) 010-9999"}, "labels": {"token": LONG}}
    )  # fmt: skip
    batch = RecordBatch(5, 6, np.array([5]), np.array([1_769_860_800_000]), [None], [b""])
    (row,) = evaluation_rows(
        [OtherEvent(0, 0, "evaluation", flat_values(event), 0)], Source("t:id", "t", 0), batch, 0
    ).to_pylist()
    assert row["quality_label"] == "call me: [phone]"
    assert row["labels"] == [("token", "[secret]")]


def test_what_cannot_be_redacted_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: str) -> str:
        raise RecursionError

    texts = short_texts.ShortTexts()
    monkeypatch.setattr(texts, "_redact", Dropping(failing))
    monkeypatch.setattr(texts, "_secrets", Dropping(failing))
    table = finished(
        events_table(
            [
                CallEvent.model_validate(
                    {
                        **EVENT,
                        "error": {"type": "a"},
                        "compliance": {"violations": ["b"]},
                        "labels": {"key": "c"},
                    }
                )
            ]
        )
    )
    (row,) = texts.table(table).to_pylist()
    assert (row["error_type"], row["compliance_violations"], row["labels"]) == (
        None,
        ["[secret]"],
        [("key", "[secret]")],
    )
    assert texts.dropped == 3


@pytest.mark.parametrize(
    "text", [f"sk-{LONG}", f"x AKIA{LONG}", f"Basic {LONG}", f"https://{LONG}@h.example", f"pwd={LONG}", f"a?key={LONG}", f"eyJ{LONG}.a"]
)  # fmt: skip
def test_the_quick_look_finds_whatever_has_a_secret(text: str) -> None:
    assert redact_secrets(text) != text
    assert re.search(MAY_BE_SECRET, text)
