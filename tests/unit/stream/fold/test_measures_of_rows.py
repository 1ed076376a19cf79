"""What rows add that enrichment does not make today: `measure` is held to the meaning of the columns alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tokentide.schemas.sketch import bucket_key
from tokentide.stream.fold.measures import NAMES, Measures, bucket_keys, measure, words_of


def measured(*rows: dict[str, Any]) -> Measures:
    """Rows with the columns that occur in any of them."""
    names = {name: None for row in rows for name in row}
    table = pa.table({name: [row.get(name) for row in rows] for name in names} | {"row": range(len(rows))})
    return measure(table, np.zeros(len(rows), dtype=np.bool_))


def by_name(measures: Measures, name: str) -> list[tuple[int, str]]:
    """Row and name of each entry."""
    keyed = measures.maps[name]
    return [
        (row, NAMES[name][key]) for row, key in zip(keyed.rows.tolist(), keyed.keys.tolist(), strict=True)
    ]


def failed(owner: str | None, stage: str | None) -> dict[str, Any]:
    return {"status": "error", "error_owner": owner, "error_stage": stage}


def test_provider_errors_are_those_at_the_model_call() -> None:
    measures = measured(
        failed("provider", "model_call"),
        failed("provider", None),
        failed("provider", "output"),
        failed("provider", "context"),
        failed("application", "model_call"),
        failed(None, "model_call"),
        {"status": "cancelled", "error_owner": "provider", "error_stage": "model_call"},
    )
    assert measures.sums["model_provider_errors"].tolist() == [True, True, *[False] * 5]
    assert measures.sums["model_calls"].tolist() == [True, True, True, False, True, True, True]


def test_without_any_stage_an_error_of_the_provider_is_one_at_the_model_call() -> None:
    measures = measured({"status": "error", "error_owner": "provider"}, {"status": "ok", "error_owner": None})
    assert measures.sums["model_provider_errors"].tolist() == [True, False]


def test_names_outside_the_closed_sets_are_unknown_and_every_row_has_its_own() -> None:
    measures = measured(
        {"status": "ok", "error_class": "timeout", "unpriced_reason": "no_usage"},
        {"status": "error", "error_class": "of the future", "unpriced_reason": None},
        {"status": "error", "error_class": None, "unpriced_reason": "no_model"},
        {"status": "error", "error_class": "timeout", "unpriced_reason": "no_model"},
    )
    assert by_name(measures, "errors_by_class") == [(1, "unknown"), (2, "unknown"), (3, "timeout")]
    assert by_name(measures, "errors_by_owner") == [(1, "unknown"), (2, "unknown"), (3, "unknown")]
    assert by_name(measures, "errors_by_stage") == [(1, "unknown"), (2, "unknown"), (3, "unknown")]
    assert by_name(measures, "unpriced_by_reason") == [
        (0, "no_usage"),
        (1, "unknown"),
        (2, "no_model"),
        (3, "no_model"),
    ]


def test_where_nothing_is_known_only_what_needs_nothing_is_counted() -> None:
    measures = measured({"status": "ok"}, {"status": "ok"})
    assert {name: values.tolist() for name, values in measures.sums.items()} == {
        "calls": [True, True],
        "model_calls": [True, True],
    }
    assert by_name(measures, "unpriced_by_reason") == [(0, "unknown"), (1, "unknown")]
    assert list(measures.maps) == ["unpriced_by_reason"]
    assert measures.peaks == {}


@pytest.mark.parametrize(
    ("column", "values", "name", "added"),
    [
        ("attempts", [1, None, 3], "attempts", [1, 0, 3]),
        ("attempts", [1, None, 3], "attempts_reported_calls", [True, False, True]),
        ("queue_length", [4, None, 0], "queue_length", [4, 0, 0]),
        ("queue_length", [4, None, 0], "queue_length_calls", [True, False, True]),
        ("context_hit", [True, True, True], "context_hits", None),
        ("duration_ms", [0.0005, 0.0015, None], "duration_us", [0, 2, 0]),
        ("quality_score", [0.00005, 0.00025, None], "quality_score_e4", [0, 2, 0]),
        ("quality_score", [0.5, 0.00025, None], "quality_score_squares_e8", [25_000_000, 4, 0]),
    ],
)
def test_a_column_alone(column: str, values: list[Any], name: str, added: list[Any] | None) -> None:
    """None is nothing; halves go to the even neighbour."""
    measures = measured(*({column: value} for value in values))
    found = measures.sums.get(name)
    assert (None if found is None else found.tolist()) == added


def test_buckets_of_many_are_those_of_each() -> None:
    values = [0.0, -0.0, 5e-324, 2.0**-20, 2.0**-21, 0.999, 1.0, 1.015624, 1.015625, 1e10, 1e13]
    assert bucket_keys(np.array(values)).tolist() == [bucket_key(value) for value in values]
    assert bucket_keys(np.array(values)).tolist()[:9] == [
        -32_768,
        -32_768,
        -1_280,
        -1_280,
        -1_280,
        -1,
        0,
        0,
        1,
    ]


def test_words_put_together_again_are_the_number() -> None:
    numbers = [0, 1, 2**32 - 1, 2**32, 10**18, 2**63 - 1]
    high, low = words_of(np.array(numbers))
    assert [h * 2**32 + part for h, part in zip(high.tolist(), low.tolist(), strict=True)] == numbers
    assert all(0 <= part < 2**32 for part in low.tolist())
