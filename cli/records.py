"""What is inside the records of our topics, as lines for a reader. Pure: bytes and mappings in, text out."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from tokentide.cli.terminal import Tone, clipped, printable

Topic = Literal["events", "rejects", "anomalies"]
Line = tuple[tuple[str, Tone | None], ...]
"""A line as pieces of text, each with its tone."""

PAYLOAD_SHOWN: Final = 300


def items_of(value: bytes | None) -> Iterator[Mapping[str, object] | None]:
    """Yield the JSON objects of a record: one, an array of them, or one a line; None for what is none.

    The worker is stricter; here the aim is to show as much as can be shown.
    """
    if not value:
        yield None
        return
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        lines = [line for line in value.splitlines() if line.strip()]
        if len(lines) < 2:
            yield None
            return
        for line in lines:
            yield from items_of(line)
        return
    for item in parsed if isinstance(parsed, list) else [parsed]:
        yield item if isinstance(item, dict) else None


def event_line(event: Mapping[str, object], offset: str) -> Line:
    """One call in a line: time, service, model, outcome, tokens, time taken. Never its texts."""
    status = _kind(event) or _status(event)
    tokens = f"{_number(event.get('input_tokens'))}→{_number(event.get('output_tokens'))} tokens"
    return (
        (_time(event.get("timestamp")), "dim"),
        (f" {_text(event.get('service'), 20):<20}", "bold"),
        (f" {_text(event.get('response_model') or event.get('request_model'), 28):<28}", None),
        (f" {status:<10}", "red" if status == "error" else "green" if status == "ok" else "yellow"),
        (f" {tokens:>20}", None),
        (_milliseconds(event.get("duration_ms")), None),
        (f" {_error(event)}", "red"),
        (f" {offset}", "dim"),
    )


def _milliseconds(value: object) -> str:
    """Thirteen characters; blank where it is no number that a call could take."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e12:
        return " " * 13
    return f" {value:>9,.0f} ms"


def _kind(event: Mapping[str, object]) -> str | None:
    """The type of what is no call by itself; an `error` is one that looks like it."""
    kind = event.get("event_type")
    return None if kind in {None, "", "call"} else _text(kind, 10)


def _status(event: Mapping[str, object]) -> str:
    given = event.get("status")
    return _text(given, 9) if given else "error" if event.get("error") else "ok"


def _error(event: Mapping[str, object]) -> str:
    error = event.get("error")
    if not isinstance(error, dict):
        return ""
    return _text(error.get("class") or error.get("type") or error.get("http_status"), 30)


def letter_lines(letter: Mapping[str, object]) -> Iterator[Line]:
    """A dead letter: where it was, why it was refused, and the beginning of its bytes."""
    index = letter.get("index")
    place = f"{_text(letter.get('topic'), 60)}/{letter.get('partition')}/{letter.get('offset')}"
    if isinstance(index, int) and index >= 0:
        place += f" item {index}"
    yield (
        (_time(letter.get("record_timestamp_ms")), "dim"),
        (f" {_text(letter.get('reason'), 30)}", "red"),
        (f" {place}", "bold"),
        (f"  {_text(letter.get('error'), 400)}", None),
    )
    yield ((f"    {payload_text(letter)}", "dim"),)


def payload_text(letter: Mapping[str, object], shown: int = PAYLOAD_SHOWN) -> str:
    """The refused bytes as readable text with their size, cut after `shown` characters."""
    size = letter.get("value_bytes")
    value = payload_bytes(letter)
    if value is None:
        return (
            f"({_number(size)} bytes, kept as SHA-256 {letter.get('value_sha256')})" if size else "(no value)"
        )
    text = value[: shown * 4].decode("utf-8", errors="backslashreplace")
    cut = " (cut)" if letter.get("truncated") else ""
    return f"{clipped(printable(text), shown)}  ({_number(size)} bytes{cut})"


def payload_bytes(letter: Mapping[str, object]) -> bytes | None:
    """The refused bytes, as far as they were kept."""
    encoded = letter.get("value_base64")
    if not isinstance(encoded, str):
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def readable_letter(letter: Mapping[str, object]) -> dict[str, object]:
    """A dead letter with its bytes as text (`value_text`) where they are UTF-8."""
    value = payload_bytes(letter)
    if value is None:
        return dict(letter)
    try:
        return {**letter, "value_text": value.decode("utf-8")}
    except UnicodeDecodeError:
        return dict(letter)


def anomaly_line(
    anomaly: Mapping[str, object],
    *,
    told_ms: int | None = None,
    before: Mapping[str, object] | None = None,
) -> Line:
    """What a message says of an incident: when it was told, what happened, how bad, its summary and its begin.

    Args:
        anomaly: the message.
        told_ms: Kafka's time of it, ms since 1970.
        before: the message before it of the same incident, where it was seen.
    """
    happened = _what_happened(anomaly, before)
    severity = _text(anomaly.get("severity"), 10)
    tone: Tone = "green" if happened == "resolved" else "red" if severity == "critical" else "yellow"
    return (
        (_time(told_ms), "dim"),
        (f" {happened:<8} {severity:<8}", tone),
        (f" {_text(anomaly.get('rule'), 24)}", "bold"),
        (f"  {_text(anomaly.get('summary'), 300)}", None),
        (f"  since {_time(anomaly.get('started_at'))}", "dim"),
        (f"  {printable(str(anomaly.get('anomaly_id')))[:8]} rev {anomaly.get('revision')}", "dim"),
    )


def _what_happened(anomaly: Mapping[str, object], before: Mapping[str, object] | None) -> str:
    state = anomaly.get("state")
    if state != "open":
        return _text(state, 10)
    if before is not None and before.get("state") == "resolved":
        return "reopened"
    return "opened" if anomaly.get("revision") == 1 else "updated"


_NO_NEWS: Final = frozenset({"revision", "example_event_ids"})


def is_news(anomaly: Mapping[str, object], before: Mapping[str, object] | None) -> bool:
    """Whether a line for a human would say anything new: not where only examples came, as they do soon after the opening."""
    if before is None:
        return True
    return any(anomaly.get(name) != before.get(name) for name in (anomaly.keys() | before.keys()) - _NO_NEWS)


def _text(value: object, width: int) -> str:
    return "-" if value is None or value == "" else clipped(printable(str(value)), width)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "?"


def _time(value: object) -> str:
    """Date and time in UTC to the second, from RFC 3339 or from a number since 1970; other text as it is."""
    moment = None
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC)
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return clipped(printable(value), 20) if isinstance(value, str) else "-" * 20
