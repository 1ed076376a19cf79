"""Tables of events by flat values, as joined calls are: the native decoder makes the same as Python, column by column."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from tests.support.decode_traffic import Traffic
from tokentide.stream.decode.batch import Flat
from tokentide.stream.decode.native import NativeDecoder, engine_of
from tokentide.stream.decode.reference import Good, decode_record, flat_values
from tokentide.stream.decode.rows import finished, flat_table

native = pytest.importorskip("tokentide_native", reason="not built: `make install` builds it where cargo is")


def table_of(rows: Sequence[Flat], at_once: int = 7) -> pa.Table:
    builder = NativeDecoder(engine_of(native)).table_builder()
    for first in range(0, len(rows), at_once):
        builder.add(rows[first : first + at_once])
    return builder.table()


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_a_table_of_flat_values_is_that_of_python(first: int) -> None:
    rows = [
        {**flat_values(outcome.event), "assembled_from": "request"}
        for seed in range(first, first + 50)
        for value in Traffic(seed).batch()
        for outcome in decode_record(value)
        if isinstance(outcome, Good)
    ]
    assert len(rows) > 100
    made, expected = finished(table_of(rows)), finished(flat_table(rows))
    assert set(made.column_names) == set(expected.column_names)
    for name in expected.column_names:
        assert made[name].type == expected[name].type
        assert made[name].cast(made[name].type).equals(expected[name]) or (
            made[name].to_pylist() == expected[name].to_pylist()
        )


def test_no_events_make_a_table_without_columns() -> None:
    assert table_of([]).column_names == []


@pytest.mark.parametrize("values", [{"input_tokens": "12"}, {"cost_usd": "a"}, {"labels": []}, {"stream": 1}])
def test_rows_with_a_value_that_its_column_cannot_hold_leave_nothing_behind(
    values: dict[str, object],
) -> None:
    good = [{"event_id": "a", "input_tokens": 3, "labels": {"k": "v"}, "stream": True}]
    builder = NativeDecoder(engine_of(native)).table_builder()
    builder.add(good)
    with pytest.raises((TypeError, ValueError)):
        builder.add([{"event_id": "b", "service": "s", "labels": {"x": "y"}}, {"event_id": "c", **values}])
    builder.add([{"event_id": "d", "input_tokens": 4}])
    made = builder.table()
    assert made["event_id"].to_pylist() == ["a", "d"]
    assert made["input_tokens"].to_pylist() == [3, 4]
    assert made["labels"].to_pylist() == [[("k", "v")], None]
    assert made["stream"].to_pylist() == [True, None]
    assert "service" not in made.column_names or made["service"].null_count == 2
