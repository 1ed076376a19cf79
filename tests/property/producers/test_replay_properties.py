"""Whatever a trace holds, a row becomes a valid event or is told to be bad; never an invalid event."""

from __future__ import annotations

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide.producers.compact_json import encode_event
from tokentide.producers.json_input import parse_json
from tokentide.producers.replay.compiling import BadRow, MappedRow, RowSettings
from tokentide.producers.replay.load import load_mapping, parse_mapping
from tokentide.producers.replay.run import map_rows
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns

FIELDS = [
    column
    for column in call_columns()
    if column.kind not in {"timestamp", "labels"} and column.name not in {"event_id", "service"}
]
EVERYTHING = (
    'format = "jsonl"\n[time]\ncolumn = "t"\nunit = "s"\n[fields]\nservice = "service"\n'
    + "".join(f'{".".join(column.path)} = "{column.name}"\n' for column in FIELDS)
    + 'labels.a = "label"\n'
)
EVERY_FIELD = parse_mapping(EVERYTHING, "x")
SPANS = load_mapping("otel-spans")
cells = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.integers(0, 1000)
    | st.floats(allow_nan=False)
    | st.floats(0, 1)
    | st.text(max_size=220)
    | st.sampled_from(
        [
            "ok",
            "error",
            "timeout",
            "inclusive",
            "exact",
            "1.5",
            "007",
            "1e3",
            "true",
            "NaN",
            "\ud800",
            "-0",
            "1_0",
        ]
    )
    | st.lists(st.text(max_size=5), max_size=20)
    | st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), max_size=3)
)
rows = st.fixed_dictionaries(
    {"t": st.integers(10**9, 2 * 10**9) | cells, "service": st.just("s") | cells},
    optional={**{column.name: cells for column in FIELDS}, "label": cells},
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=5))
def test_what_is_mapped_is_valid_and_what_is_not_is_bad(trace):
    content = "\n".join(json.dumps(row) for row in trace).encode()
    found = list(map_rows(io.BytesIO(content), EVERY_FIELD, RowSettings()))
    assert len(found) == len(trace)
    for row in found:
        assert isinstance(row, MappedRow | BadRow)
        if isinstance(row, MappedRow):
            assert json.loads(encode_event(row.event)) == row.event
            event = CallEvent.model_validate(row.event)
            assert event.timestamp == row.timestamp_us


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        cells,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "resourceSpans",
                        "scopeSpans",
                        "spans",
                        "attributes",
                        "status",
                        "context",
                        "startTimeUnixNano",
                        "endTimeUnixNano",
                        "operation_name",
                        "end_time",
                        "events",
                        "resource",
                        "gen_ai.operation.name",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_read_as_spans_ends_in_events_or_bad_rows(document):
    content = json.dumps([document, document]).encode()
    for row in map_rows(io.BytesIO(content), SPANS, RowSettings()):
        if isinstance(row, MappedRow):
            CallEvent.model_validate(row.event)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_json_or_a_problem_in_words(raw):
    value, problem = parse_json(raw)
    assert (problem is None) or (value is None and problem.startswith("is "))
