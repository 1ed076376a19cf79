"""Every example message goes through every step: schema, model, both ways of decoding, clock, enrichment, fold, letters, SDK."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from tests.support.examples import SENT_MS, Example, examples
from tokentide.producers.event_encoder import EventEncoder
from tokentide.producers.inspector import contract_problem
from tokentide.producers.packing import pack
from tokentide.schemas.arrow import EVENT_ROWS, LEDGER_ROWS, WINDOW_ROWS
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.json_schema import FILES, FOLDER, schema_text
from tokentide.schemas.part import PART_TYPES, PartEvent
from tokentide.schemas.problems import problem_of
from tokentide.schemas.rejects import DeadLetter, RejectReason
from tokentide.stream.decode.batch import Refusal
from tokentide.stream.decode.clock import ClockLimits, refuse_wrong_clocks
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.decode.reference import Bad, decode_record
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.letters import LetterPolicy, letter_key
from tokentide.stream.partition import Checkpoint, PartitionFold, PartitionRules
from tokentide.stream.pricing.book import GenaiBook
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.resume import Start
from tokentide.stream.texts import DICTIONARY
from tokentide.stream.tokens import TokenMemory

GOOD, BAD = examples("good"), examples("bad")
DAY_US = 86_400_000_000
OFFSET = 41
SOURCE = Source("llm.events:AAAAAAAAAAAAAAAAAAAAAA", "llm.events", 3)

NOT_NAMES = {
    "error_message", "input_hash", "output_hash", "input_text", "output_text",
    *(column.name for column in call_columns() if column.kind == "id"),
}  # fmt: skip
ROW_TYPES = {
    field.name: DICTIONARY if field.type == pa.string() and field.name not in NOT_NAMES else field.type
    for field in EVENT_ROWS
}
"""Names are dictionaries in the worker's hands, the same ones in every batch: tables of two types could not be joined."""

MODELS: dict[object, type[BaseModel]] = {
    "evaluation": EvaluationEvent,
    **dict.fromkeys(PART_TYPES, PartEvent),
}
SCHEMA_FILES: dict[object, str] = {
    "evaluation": "evaluation.schema.json",
    **dict.fromkeys(PART_TYPES, "part.schema.json"),
}


def type_of(item: object) -> object:
    return item.get("event_type") if isinstance(item, dict) else None


def schema_of(item: object) -> Draft202012Validator:
    """Of the event's own type; of a call, where it has none that is known."""
    file = FOLDER / SCHEMA_FILES.get(type_of(item), "call.schema.json")
    return Draft202012Validator(json.loads(file.read_text(encoding="utf-8")))


call_schema = schema_of({})
letter_schema = Draft202012Validator(
    json.loads((FOLDER / "dead_letter.schema.json").read_text(encoding="utf-8"))
)

good = pytest.mark.parametrize("example", GOOD, ids=lambda example: example.name)
bad = pytest.mark.parametrize("example", BAD, ids=lambda example: example.name)


@pytest.fixture(scope="module")
def enricher() -> Enricher:
    return Enricher([GenaiBook()], ContentRules(hash_key=b"examples"), TokenMemory())


def clock_of(example: Example) -> ClockLimits:
    days = example.content.get("age_limit_days")
    return ClockLimits() if days is None else ClockLimits(age_us=days * DAY_US)


def folded(values: list[bytes | None], enricher: Enricher, clock: ClockLimits) -> Checkpoint:
    """What a worker makes durable after it has read the records."""
    rules = PartitionRules(FoldSettings(("service", "model"), 100), 1, clock, LetterPolicy())
    fold = PartitionFold(SOURCE, Start(OFFSET, OFFSET, OFFSET), rules, Decoder(), enricher)
    offsets = np.arange(OFFSET, OFFSET + len(values))
    times = np.full(len(values), SENT_MS)
    fold.ingest(RecordBatch(OFFSET, OFFSET + len(values), offsets, times, [b"key"] * len(values), values))
    checkpoint = fold.checkpoint()
    assert checkpoint is not None
    return checkpoint


def rows_of(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    if not checkpoint.rows:
        return []
    table = pa.concat_tables(checkpoint.rows, promote_options="default")
    missing = {
        field.name: pa.nulls(table.num_rows, field.type)
        for field in EVENT_ROWS
        if field.name not in table.column_names
    }
    for name, values in missing.items():
        table = table.append_column(name, values)
    listed: list[dict[str, Any]] = table.select(EVENT_ROWS.names).cast(EVENT_ROWS).to_pylist()
    return listed


def json_form(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Decimal():
            return f"{value:f}"
        case list() if value and isinstance(value[0], tuple):
            return dict(value)
        case _:
            return value


def decoded_by_reference(value: bytes | None) -> tuple[list[dict[str, Any]], list[Refusal]]:
    outcomes = decode_record(value)
    events = [outcome.event.model_dump(by_alias=True) for outcome in outcomes if not isinstance(outcome, Bad)]
    refusals = [Refusal(0, bad.item, bad.problem, bad.value) for bad in outcomes if isinstance(bad, Bad)]
    return events, refusals


def columns_of(event: dict[str, Any]) -> dict[str, Any]:
    """A dumped event by its flat columns, without what is unknown or content."""
    flat: dict[str, Any] = {}
    for column in call_columns():
        value: Any = event
        for part in column.path:
            value = None if value is None else value[part]
        if column.kind != "content" and value not in (None, "", [], {}):
            flat[column.name] = value
    return flat


def columns_of_row(row: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in row.items():
        if value is None or name.startswith(("input_is", "output_is")) or name in {"input", "output"}:
            continue
        kept[name] = dict(value) if isinstance(value, list) and isinstance(value[0], tuple) else value
    kept["timestamp"] = round(kept["timestamp"].timestamp() * 1_000_000)
    return kept


def texts_in(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from texts_in(item)
        case dict():
            for item in value.values():
                yield from texts_in(item)


# --- the set of examples


def test_every_field_of_the_contract_stands_in_a_good_example() -> None:
    shown: set[tuple[str, ...]] = set()
    for example in GOOD:
        for item in example.items or []:
            shown |= {(name,) for name in item}
            shown |= {
                (name, inner) for name, value in item.items() if isinstance(value, dict) for inner in value
            }
    assert [column.name for column in call_columns() if column.path not in shown] == []


def test_every_reason_has_a_bad_example() -> None:
    assert {example.content["reason"] for example in BAD} == set(RejectReason)


def test_every_example_says_why_it_is_there() -> None:
    assert [example.name for example in (*GOOD, *BAD) if not example.content["why"].endswith(".")] == []


# --- the files that are derived from the models


@pytest.mark.parametrize("name", FILES)
def test_the_json_schema_files_are_those_of_the_models(name: str) -> None:
    """If this fails: `python -m tokentide.schemas.json_schema` writes them anew."""
    assert (FOLDER / name).read_text(encoding="utf-8") == schema_text(FILES[name])


def test_there_is_no_other_file_and_all_are_valid_schemas() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(FILES)
    for name in FILES:
        Draft202012Validator.check_schema(json.loads((FOLDER / name).read_text(encoding="utf-8")))


# --- good ones


@good
def test_schema_and_model_accept_a_good_example(example: Example) -> None:
    for item in example.items or [
        json.loads(line) for line in (example.value or b"").split(b"\n") if line.strip()
    ]:
        assert list(call_schema.iter_errors(item)) == []
        CallEvent.model_validate(item)
        assert contract_problem(json.dumps(item).encode()) is None


@good
def test_both_ways_of_decoding_give_the_same_event(example: Example) -> None:
    decoded = Decoder().decode([example.value])
    events, refusals = decoded_by_reference(example.value)
    assert (list(decoded.refusals), refusals) == ([], [])
    assert [columns_of_row(row) for row in decoded.table.to_pylist()] == [
        columns_of(event) for event in events
    ]
    assert refuse_wrong_clocks(decoded, [example.value], np.asarray([SENT_MS]), clock_of(example)) is decoded


@good
def test_the_event_row_is_as_the_example_says(example: Example, enricher: Enricher) -> None:
    checkpoint = folded([example.value], enricher, clock_of(example))
    rows = rows_of(checkpoint)
    expected = example.content["rows"]
    found = [
        {name: json_form(row[name]) for name in wanted} for row, wanted in zip(rows, expected, strict=True)
    ]
    assert found == expected
    assert checkpoint.letters == []


@good
def test_rows_have_the_types_of_the_declared_table(example: Example, enricher: Enricher) -> None:
    for table in folded([example.value], enricher, clock_of(example)).rows:
        assert {field.name: field.type for field in table.schema} == {
            name: ROW_TYPES[name] for name in table.column_names
        }


@good
def test_windows_and_ledger_count_what_the_record_holds(example: Example, enricher: Enricher) -> None:
    checkpoint = folded([example.value], enricher, clock_of(example))
    assert (checkpoint.partials.schema, checkpoint.ledger.schema) == (WINDOW_ROWS, LEDGER_ROWS)
    rows = rows_of(checkpoint)
    real = [row for row in rows if not row["test"]]
    (ledger,) = checkpoint.ledger.to_pylist()
    windows = checkpoint.partials.to_pylist()
    assert sum(window["calls"] for window in windows) == len(real)
    assert sum(window["test_calls"] for window in windows) == len(rows) - len(real) == ledger["test_events"]
    assert sum(window["errors"] for window in windows) == sum(row["status"] == "error" for row in real)
    assert sum(window["cost_usd"] for window in windows) == sum(row["cost_usd"] or 0 for row in real)
    for tokens in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert sum(window[tokens] for window in windows) == sum(row[tokens] or 0 for row in real)
    assert (ledger["records"], ledger["items"], ledger["events"], ledger["rejects"]) == (
        1,
        len(rows),
        len(rows),
        0,
    )


@good
def test_the_sdk_sends_a_good_example_so_that_it_comes_out_the_same(
    example: Example, enricher: Enricher
) -> None:
    if example.items is None:
        pytest.skip("the SDK does not send lines")
    encoder = EventEncoder({}, {}, time_ns=lambda: 0)
    packed = pack([encoder.encode(item).value for item in example.items])
    clock = clock_of(example)
    assert rows_of(folded([packed.value], enricher, clock)) == rows_of(
        folded([example.value], enricher, clock)
    )


def test_unknown_fields_are_counted(enricher: Enricher) -> None:
    (example,) = [example for example in GOOD if example.name == "unknown_fields"]
    (ledger,) = folded([example.value], enricher, ClockLimits()).ledger.to_pylist()
    assert ledger["unknown_fields"] == 4  # error.retry_after_s, stages.tokenize_ms, experiment, note


# --- bad ones


@bad
def test_schema_and_model_refuse_a_bad_example_as_far_as_they_can_tell(example: Example) -> None:
    """A schema cannot add, look at a clock, or count levels: those examples say so."""
    items = example.items
    if items is None or not items or "padded_to_bytes" in example.content or "repeated" in example.content:
        return  # wrong as a record, before there is an event
    item = items[example.content.get("index", 0)]
    beyond = example.content.get("beyond_json_schema")
    assert schema_of(item).is_valid(item) == (beyond is not None)
    if beyond not in {"clock", "depth"}:
        with pytest.raises(ValidationError) as refused:
            MODELS.get(type_of(item), CallEvent).model_validate(item)
        if example.content["reason"] != "unknown_event_type" and isinstance(item, dict):
            problem = problem_of(refused.value)
            assert (problem.reason, problem.field) == (example.content["reason"], example.content["field"])
            assert contract_problem(json.dumps(item).encode()) == problem.error


@bad
def test_both_ways_of_decoding_refuse_it_for_the_same_reason(example: Example) -> None:
    decoded = Decoder().decode([example.value])
    events, refusals = decoded_by_reference(example.value)
    assert list(decoded.refusals) == refusals
    assert decoded.table.num_rows == len(events)


def expected_bytes(example: Example) -> bytes | None:
    """The one event of a packed record, else the whole record."""
    value, index = example.value, example.content.get("index")
    if value is None or index is None:
        return value
    return (
        json.dumps(example.content["record"][index]).encode()
        if "record" in example.content
        else value.split(b"\n")[index]
    )


@bad
def test_the_dead_letter_of_a_bad_example_tells_all(example: Example, enricher: Enricher) -> None:
    checkpoint = folded([example.value], enricher, clock_of(example))
    (sent,) = checkpoint.letters
    message = json.loads(sent.model_dump_json())
    assert list(letter_schema.iter_errors(message)) == []
    assert DeadLetter.model_validate(message) == sent
    value = expected_bytes(example)
    whole_record = (
        example.items in (None, []) or "padded_to_bytes" in example.content or "repeated" in example.content
    )
    index = example.content.get("index", -1 if whole_record else 0)
    assert message.pop("error")
    assert message == {
        "reason": example.content["reason"],
        "step": "validate" if example.content["reason"] in {"inconsistent", "clock"} else "decode",
        "field": example.content["field"],
        "source": "llm.events:AAAAAAAAAAAAAAAAAAAAAA",
        "topic": "llm.events",
        "partition": 3,
        "offset": OFFSET,
        "index": index,
        "record_timestamp_ms": SENT_MS,
        "value_base64": None if value is None else base64.b64encode(value[:262_144]).decode(),
        "value_bytes": None if value is None else len(value),
        "value_sha256": None if value is None else hashlib.sha256(value).hexdigest(),
        "truncated": value is not None and len(value) > 262_144,
        "key_base64": "a2V5",
    }
    assert letter_key(sent) == f"llm.events/3/{OFFSET}/{index}".encode()


@bad
def test_the_error_repeats_no_text_of_the_sender(example: Example, enricher: Enricher) -> None:
    (letter,) = folded([example.value], enricher, clock_of(example)).letters
    for text in texts_in(example.items):
        if len(text) > 5 and text not in MODELS:  # those are words of ours
            assert text not in letter.error


@bad
def test_a_bad_example_is_counted_and_its_neighbours_are_stored(example: Example, enricher: Enricher) -> None:
    checkpoint = folded([example.value], enricher, clock_of(example))
    neighbours = example.content.get("neighbours", 0)
    (ledger,) = checkpoint.ledger.to_pylist()
    assert dict(ledger["rejects_by_reason"]) == {example.content["reason"]: 1}
    assert (ledger["items"], ledger["events"], ledger["rejects"]) == (neighbours + 1, neighbours, 1)
    assert checkpoint.row_count == neighbours
    assert sum(window["calls"] for window in checkpoint.partials.to_pylist()) == neighbours


# --- all at once


def test_in_one_batch_each_example_fares_as_it_does_alone(enricher: Enricher) -> None:
    mixed = [each for pair in zip(BAD, [*GOOD, *GOOD, *GOOD], strict=False) for each in pair]
    mixed = [example for example in mixed if "age_limit_days" not in example.content]
    checkpoint = folded([example.value for example in mixed], enricher, ClockLimits())
    letters = {letter.offset - OFFSET: letter.reason for letter in checkpoint.letters}
    assert letters == {
        place: example.content["reason"] for place, example in enumerate(mixed) if "reason" in example.content
    }
    (ledger,) = checkpoint.ledger.to_pylist()
    sent = [
        from_json(json.dumps(item))
        for example in mixed
        if "rows" in example.content
        for item in example.content["rows"]
    ]
    assert ledger["events"] + ledger["duplicates"] == len(sent) + sum(
        e.content.get("neighbours", 0) for e in mixed
    )
    stored = [row["event_id"] for row in rows_of(checkpoint)]
    assert len(stored) == len(set(stored)) == ledger["events"]
    alone = {
        row["event_id"]: row
        for example in GOOD
        for row in rows_of(folded([example.value], enricher, ClockLimits()))
    }
    place = {"source_offset", "late"}
    for row in rows_of(checkpoint):
        if row["event_id"] in alone:
            assert {k: v for k, v in row.items() if k not in place} == {
                k: v for k, v in alone[row["event_id"]].items() if k not in place
            }


def test_rows_and_refusals_are_in_the_order_of_the_log() -> None:
    decoded = Decoder().decode(
        [example.value for pair in zip(BAD, [*GOOD, *GOOD, *GOOD], strict=False) for example in pair]
    )
    assert decoded.items == decoded.table.num_rows + len(decoded.refusals)
    rows = [*zip(decoded.record.tolist(), decoded.item.tolist(), strict=True)]
    refused = [refusal[:2] for refusal in decoded.refusals]
    assert (rows, refused) == (sorted(rows), sorted(refused))
