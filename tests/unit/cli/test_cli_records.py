"""What `tail` makes of the records of our topics."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from tokentide.cli.records import (
    Line,
    anomaly_line,
    event_line,
    is_news,
    items_of,
    letter_lines,
    payload_text,
    readable_letter,
)


def text(line: Line) -> str:
    return "".join(piece for piece, _ in line)


@pytest.mark.parametrize(
    "value",
    [b'{"a": 1}', b'[{"a": 1}, {"a": 2}]', b'{"a": 1}\n{"a": 2}\n', b'  [{"a": 1}]\n'],
)
def test_packed_records_are_unpacked(value: bytes) -> None:
    items = list(items_of(value))
    assert items == [{"a": n + 1} for n in range(len(items))]
    assert len(items) == value.count(b"{")


@pytest.mark.parametrize(
    "value", [None, b"", b"hello", b"\xff\xfe", b"1", b'"x"', b"null", b"[" * 100_000, b'{"a": 1']
)
def test_what_is_no_json_object_is_shown_as_such(value: bytes | None) -> None:
    assert list(items_of(value)) == [None]


@pytest.mark.parametrize("kind", ["request", "response", "error", "evaluation"])
def test_what_is_no_call_by_itself_is_shown_as_what_it_is(kind: str) -> None:
    line = text(event_line({"service": "shop", "event_type": kind, "error": {}}, "0/1"))
    assert f" {kind}" in line
    assert " ok" not in line


def test_good_neighbours_of_a_bad_line_are_shown() -> None:
    assert list(items_of(b'{"a": 1}\nnope\n{"a": 2}')) == [{"a": 1}, None, {"a": 2}]


def test_an_event_is_one_line_without_its_texts() -> None:
    event = {
        "timestamp": "2024-05-01T10:20:30.123Z",
        "service": "chat",
        "request_model": "gpt-4o",
        "input_tokens": 1200,
        "output_tokens": 50,
        "duration_ms": 1234.5,
        "error": {"class": "timeout"},
        "input": "the canary sings",
        "output": "canary",
    }
    line = text(event_line(event, "3/17"))
    for part in (
        "2024-05-01T10:20:30",
        "chat",
        "gpt-4o",
        "error",
        "1,200→50 tokens",
        "1,234 ms",
        "timeout",
        "3/17",
    ):
        assert part in line
    assert "canary" not in line


@pytest.mark.parametrize(
    "timestamp",
    [1714558830, 1714558830123, 1714558830.5, "2024-05-01T10:20:30Z", "2024-05-01T12:20:30.9+02:00"],
)
def test_times_are_shown_in_utc_however_they_are_written(timestamp: object) -> None:
    assert text(event_line({"timestamp": timestamp}, "")).startswith("2024-05-01T10:20:30Z ")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"timestamp": 1e300, "service": 5, "duration_ms": "long", "error": "x", "input_tokens": True},
        {"timestamp": None, "status": ["x"], "error": {"class": {"a": 1}}},
        {"service": "\x1b[2J" * 50},
        {"duration_ms": 10**400},
        {"duration_ms": float("inf")},
    ],
)
def test_no_event_is_too_odd_to_be_shown(event: Mapping[str, object]) -> None:
    assert "\x1b" not in text(event_line(event, ""))


def letter(value: bytes | None, **more: object) -> dict[str, object]:
    return {
        "reason": "not_json",
        "step": "decode",
        "error": "is not JSON",
        "topic": "llm.events",
        "partition": 2,
        "offset": 77,
        "index": -1,
        "record_timestamp_ms": 1714558830000,
        "value_base64": base64.b64encode(value).decode() if value is not None else None,
        "value_bytes": len(value) if value is not None else None,
        "value_sha256": "ab" * 32,
        "truncated": False,
        **more,
    }


def test_a_dead_letter_says_where_why_and_what() -> None:
    first, second = map(text, letter_lines(letter("ünï {".encode(), index=4)))
    for part in ("2024-05-01T10:20:30", "not_json", "llm.events/2/77 item 4", "is not JSON"):
        assert part in first
    assert "ünï {" in second
    assert "(7 bytes)" in second


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    assert payload_text(letter(b"a\xff\x00b")) == "a\\xff\\x00b  (4 bytes)"


def test_a_long_payload_is_cut_and_its_size_said() -> None:
    shown = payload_text(letter(b"x" * 5000, truncated=True, value_bytes=9000), shown=20)
    assert shown == "x" * 19 + "…  (9,000 bytes (cut))"


def test_a_payload_that_was_not_kept_is_named_by_its_hash() -> None:
    assert payload_text(letter(None, value_bytes=5)) == f"(5 bytes, kept as SHA-256 {'ab' * 32})"
    assert payload_text(letter(None)) == "(no value)"


def test_a_dead_letter_in_json_carries_its_bytes_as_text() -> None:
    assert readable_letter(letter(b'{"a": ')) | {} == {**letter(b'{"a": '), "value_text": '{"a": '}
    assert "value_text" not in readable_letter(letter(b"\xff"))
    assert "value_text" not in readable_letter(letter(None))
    json.dumps(readable_letter(letter(b"x")))


def test_base64_that_is_broken_is_shown_as_not_kept() -> None:
    assert "kept as SHA-256" in payload_text({**letter(b"x"), "value_base64": "!!!"})


OPENED = {
    "anomaly_id": "0123456789abcdef",
    "revision": 1,
    "state": "open",
    "rule": "error_rate",
    "severity": "critical",
    "started_at": "2024-05-01T10:20:00Z",
    "updated_at": "2024-05-01T10:26:00Z",
    "example_event_ids": [],
    "summary": "42 % of calls fail",
}
TOLD_MS = 1714558830000


def test_an_incident_says_when_it_was_told_and_not_the_end_of_its_minute() -> None:
    """That end may lie in the future."""
    line = text(anomaly_line(OPENED, told_ms=TOLD_MS))
    assert line == (
        "2024-05-01T10:20:30Z opened   critical error_rate  42 % of calls fail  "
        "since 2024-05-01T10:20:00Z  01234567 rev 1"
    )


@pytest.mark.parametrize(
    ("change", "before", "happened"),
    [
        ({}, None, "opened"),
        ({"revision": 3}, None, "updated"),
        ({"revision": 3}, OPENED, "updated"),
        ({"revision": 4, "state": "resolved"}, OPENED, "resolved"),
        ({"revision": 5}, OPENED | {"state": "resolved"}, "reopened"),
        ({"state": None}, None, "-"),
    ],
)
def test_an_incident_says_what_happened_to_it(
    change: dict[str, object], before: dict[str, object] | None, happened: str
) -> None:
    assert text(anomaly_line(OPENED | change, told_ms=TOLD_MS, before=before)).split()[1] == happened


def test_that_examples_came_is_no_news() -> None:
    with_examples = OPENED | {"revision": 2, "example_event_ids": ["a"]}
    assert is_news(OPENED, None)
    assert not is_news(with_examples, OPENED)
    assert is_news(with_examples | {"severity": "warning"}, OPENED)
    assert is_news(with_examples | {"resolved_at": "2024-05-01T10:30:00Z"}, OPENED)
