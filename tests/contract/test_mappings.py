"""The mappings of the public traces, against figures counted from the files by other means.

The expected numbers are counted here with `csv` and `json` alone; the few that are written down are the
published ones.
"""

from __future__ import annotations

import csv
import gzip
import json
import statistics
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from tokentide.producers.replay.compiling import MappedRow, RowSettings
from tokentide.producers.replay.load import load_mapping
from tokentide.producers.replay.run import map_rows
from tokentide.schemas.call import CallEvent

pytestmark = pytest.mark.data

FILES = {
    "azure-llm-2023": "azure2023/AzureLLMInferenceTrace_code.csv",
    "burstgpt": "burstgpt/BurstGPT_1_days0-3.csv.gz",
    "mooncake": "mooncake/conversation_trace_min00-30.jsonl.gz",
    "ragpulse": "ragpulse/0_trace_days0-3.jsonl.gz",
    "otel-spans": "agent_spans/exgentic_swebench_spans_A.jsonl.gz",
    "claude-code": "agent_spans/claude_code_turns_A.jsonl.gz",
    "alibaba-gentd26": "alibaba_gentd26/lora_request_trace_2024-11-15_to_11-30.csv.gz",
}


@cache
def events_of(folder: Path, name: str, **values: str) -> list[dict]:
    """The trace's events; read once, not to be changed."""
    rows = list(map_rows(folder / FILES[name], load_mapping(name), RowSettings(values=values)))
    assert [row for row in rows if not isinstance(row, MappedRow)] == []
    return [row.event for row in rows]


def raw_rows(folder: Path, name: str) -> list[dict]:
    path = folder / FILES[name]
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()
    return list(csv.DictReader(lines)) if ".csv" in path.name else [json.loads(line) for line in lines]


def total(events: Iterable[dict], field: str) -> int:
    return sum(event[field] for event in events)


def moment(event: dict) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


@pytest.mark.parametrize("name", FILES)
def test_every_row_becomes_a_valid_event_with_an_id_of_its_own(public_data, name):
    events = events_of(public_data, name)
    assert len(events) == len(raw_rows(public_data, name))
    assert len({event["event_id"] for event in events}) == len(events)
    for event in events:
        CallEvent.model_validate(event)


@pytest.mark.parametrize("name", FILES)
def test_a_trace_mapped_twice_gives_the_same_events(public_data, name):
    assert events_of(public_data, name) == events_of.__wrapped__(public_data, name)


@pytest.mark.parametrize("name", FILES)
def test_a_trace_with_its_default_times_lies_in_the_past(public_data, name):
    # A worker refuses what lies in the future; the newest trace was recorded in 2026.
    assert max(map(moment, events_of(public_data, name))) < datetime(2026, 6, 1, tzinfo=UTC)


def test_azure(public_data):
    events = events_of(public_data, "azure-llm-2023")
    assert len(events) == 8_819
    assert statistics.median(event["input_tokens"] for event in events) == 1_469
    assert statistics.median(event["output_tokens"] for event in events) == 13
    assert all("request_model" not in event for event in events)


def test_azure_calls_per_minute_are_those_of_the_file(public_data):
    of_file = Counter(row["TIMESTAMP"][:16] for row in raw_rows(public_data, "azure-llm-2023"))
    of_events = Counter(
        event["timestamp"][:16].replace("T", " ") for event in events_of(public_data, "azure-llm-2023")
    )
    assert of_events == of_file
    assert len(of_file) == 45


def test_azure_takes_its_model_by_option(public_data):
    events = events_of(public_data, "azure-llm-2023", model="gpt-4o", provider="openai")
    assert {(event["request_model"], event["provider"]) for event in events} == {("gpt-4o", "openai")}


def test_burstgpt(public_data):
    events = events_of(public_data, "burstgpt")
    errors = [event for event in events if event["status"] == "error"]
    assert len(events) == 10_796
    assert Counter(event["request_model"] for event in events) == {"gpt-3.5-turbo": 7_111, "gpt-4": 3_685}
    assert Counter(event["request_model"] for event in errors) == {"gpt-3.5-turbo": 508, "gpt-4": 446}
    assert total(events, "input_tokens") == 6_576_387
    assert total(events, "output_tokens") == 2_593_858
    assert {event["provider"] for event in events} == {"openai"}
    assert Counter(event["feature"] for event in events) == {"chat": 10_775, "api": 21}
    assert all("error" not in event for event in errors)


def test_burstgpt_rows_that_are_exact_copies_are_all_there(public_data):
    rows = [tuple(row.values()) for row in raw_rows(public_data, "burstgpt")]
    assert len(rows) - len(set(rows)) == 6
    assert len({event["event_id"] for event in events_of(public_data, "burstgpt")}) == len(rows)


def test_burstgpt_counts_its_seconds_from_the_declared_midnight(public_data):
    rows, events = raw_rows(public_data, "burstgpt"), events_of(public_data, "burstgpt")
    midnight = datetime.fromisoformat("2023-11-01T00:00:00+08:00")
    for row, event in zip(rows, events, strict=True):
        assert moment(event) == midnight + timedelta(seconds=int(row["Timestamp"]))


def test_burstgpt_the_short_burst_of_api_calls(public_data):
    path = public_data / "burstgpt/BurstGPT_1_span30s_120rows.csv"
    rows = list(map_rows(path, load_mapping("burstgpt"), RowSettings()))
    assert Counter(row.event["feature"] for row in rows) == {"api": 120}


def test_mooncake(public_data):
    events = events_of(public_data, "mooncake")
    assert len(events) == 5_719
    assert total(events, "input_tokens") == 73_604_194
    assert total(events, "cache_read_input_tokens") == 25_555_226
    assert total(events, "output_tokens") == sum(
        row["output_length"] for row in raw_rows(public_data, "mooncake")
    )


def test_ragpulse(public_data):
    rows, events = raw_rows(public_data, "ragpulse"), events_of(public_data, "ragpulse")
    assert len(events) == 4_354
    assert total(events, "input_tokens") == sum(row["input_length"] for row in rows)
    assert total(events, "output_tokens") == sum(row["output_length"] for row in rows)
    passages = [row["hash_ids"]["passages_ids"] for row in rows]
    assert [event["retrieval"]["documents"] for event in events] == [len(found) for found in passages]
    seen: set[int] = set()
    hits = []
    for found in passages:
        hits.append(bool(seen.intersection(found)) if found else None)
        seen.update(found)
    assert [event["retrieval"].get("hit") for event in events] == hits
    assert hits.count(True) == 3_345


def test_ragpulse_turns_count_the_questions_of_a_session(public_data):
    rows, events = raw_rows(public_data, "ragpulse"), events_of(public_data, "ragpulse")
    turns: Counter[str] = Counter()
    for row, event in zip(rows, events, strict=True):
        turns[row["session_id"]] += 1
        assert (event["conversation_id"], event["turn"]) == (row["session_id"], turns[row["session_id"]])


def test_ragpulse_times_agree_with_the_milliseconds_in_its_session_ids(public_data):
    rows, events = raw_rows(public_data, "ragpulse"), events_of(public_data, "ragpulse")
    first_of_session = {}
    for row, event in zip(rows, events, strict=True):
        head = row["session_id"].split("-")[0]
        if len(head) == 13 and head.isdigit():
            first_of_session.setdefault(head, moment(event))
    delays_s = [at.timestamp() - int(head) / 1000 for head, at in first_of_session.items()]
    # The two clocks are half a minute apart: the hour and the zone are right.
    assert abs(statistics.median(delays_s)) < 60


def test_exgentic(public_data):
    rows, events = raw_rows(public_data, "otel-spans"), events_of(public_data, "otel-spans")
    assert Counter(event["status"] for event in events) == {"ok": 1_128, "error": 51}
    assert total(events, "input_tokens") == sum(row["input_tokens"] for row in rows)
    assert total(events, "output_tokens") == sum(row["output_tokens"] for row in rows)
    assert Counter(event["request_model"] for event in events) == Counter(
        row["request_model"] for row in rows
    )
    assert Counter(event["conversation_id"] for event in events) == Counter(row["session_id"] for row in rows)
    assert [event["duration_ms"] for event in events] == [row["duration_ms"] for row in rows]
    assert [event["span_id"] for event in events] == [row["span_id"] for row in rows]


def test_exgentic_times_are_the_ends_of_spans_in_utc_with_and_without_a_zone(public_data):
    rows, events = raw_rows(public_data, "otel-spans"), events_of(public_data, "otel-spans")
    ends = [row["end_time_iso"] for row in rows]
    assert sum(end.endswith("+00:00") for end in ends) == 802
    for end, row, event in zip(ends, rows, events, strict=True):
        assert event["timestamp"].rstrip("Z") == end.removesuffix("+00:00")
        assert moment(event).timestamp() == pytest.approx(row["end_time_s"], abs=1e-5)


def test_claude_code(public_data):
    rows, events = raw_rows(public_data, "claude-code"), events_of(public_data, "claude-code")
    assert total(events, "input_tokens") == sum(row["input_tokens"] for row in rows)
    assert total(events, "output_tokens") == sum(row["output_tokens"] for row in rows)
    assert Counter(event["request_model"] for event in events) == Counter(row["model_id"] for row in rows)
    assert max(event["turn"] for event in events) == 1_157
    assert all(event["stream"] is True for event in events)
    for row, event in zip(rows, events, strict=True):
        assert event["duration_ms"] == pytest.approx(row["api_time_s"] * 1000)
        assert event["time_to_first_chunk_ms"] == pytest.approx(row["ttft_s"] * 1000)


def test_claude_code_sessions_begin_one_after_the_other_and_events_are_at_their_ends(public_data):
    rows, events = raw_rows(public_data, "claude-code"), events_of(public_data, "claude-code")
    sessions = list(dict.fromkeys(row["session_id"] for row in rows))
    start = datetime(2026, 5, 1, tzinfo=UTC)
    for row, event in zip(rows, events, strict=True):
        begin = start + timedelta(minutes=10) * sessions.index(row["session_id"])
        expected = begin + timedelta(seconds=row["request_arrival_delta_s"] + row["api_time_s"])
        assert abs(moment(event) - expected) <= timedelta(microseconds=1)


def test_alibaba(public_data):
    rows, events = raw_rows(public_data, "alibaba-gentd26"), events_of(public_data, "alibaba-gentd26")
    assert len(events) == 14_279
    assert Counter(event["status"] for event in events) == {"ok": 14_033, "error": 233 + 13}
    pending = [event for event in events if event.get("labels", {}).get("incomplete") == "true"]
    assert len(pending) == 13
    assert all(event["error"] == {"class": "timeout"} for event in pending)
    assert all("duration_ms" not in event for event in pending)
    assert sum(event.get("duration_ms", 0) for event in events) == 1000 * sum(
        float(row["exec_time_seconds"]) for row in rows
    )
    assert Counter(event.get("request_model", "") for event in events) == Counter(
        row["checkpoint_model_version_id"] for row in rows
    )
    assert Counter(event["user_id"] for event in events) == Counter(row["groupId"] for row in rows)
    for row, event in zip(rows, events, strict=True):
        created = datetime.fromisoformat(row["gmt_create"]).replace(tzinfo=UTC)
        assert moment(event) == created + timedelta(seconds=float(row["exec_time_seconds"]))
