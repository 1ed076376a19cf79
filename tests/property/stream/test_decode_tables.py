"""Tables of events by flat values, as joined calls are: the native decoder makes the same as Python, column by column."""

from __future__ import annotations

import pytest

from tests.support.decode_traffic import Traffic
from tokentide.stream.decode.native import NativeDecoder, engine_of
from tokentide.stream.decode.reference import Good, decode_record, flat_values
from tokentide.stream.decode.rows import finished, flat_table

native = pytest.importorskip("tokentide_native", reason="not built: `make install` builds it where cargo is")


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_a_table_of_flat_values_is_that_of_python(first: int) -> None:
    decoder = NativeDecoder(engine_of(native))
    rows = [
        {**flat_values(outcome.event), "assembled_from": "request"}
        for seed in range(first, first + 50)
        for value in Traffic(seed).batch()
        for outcome in decode_record(value)
        if isinstance(outcome, Good)
    ]
    assert len(rows) > 100
    made, expected = finished(decoder.table(rows)), finished(flat_table(rows))
    assert set(made.column_names) == set(expected.column_names)
    for name in expected.column_names:
        assert made[name].type == expected[name].type
        assert made[name].cast(made[name].type).equals(expected[name]) or (
            made[name].to_pylist() == expected[name].to_pylist()
        )


def test_no_events_make_a_table_without_columns() -> None:
    assert NativeDecoder(engine_of(native)).table([]).column_names == []


@pytest.mark.parametrize("values", [{"input_tokens": "12"}, {"cost_usd": "a"}, {"labels": []}, {"stream": 1}])
def test_a_value_that_its_column_cannot_hold_is_an_error(values: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        NativeDecoder(engine_of(native)).table([values])
