from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from tests.support.partials import SOURCE, START, Partial, partial_table, record
from tokentide.schemas.arrow import WINDOW_ROWS
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.rows import Base, Fold, NotPartialsError, PartialDecoder, partial_rows
from tokentide.stream.kafka_out import encode_partials

COUNTS = Counts(7, 2, 1, 5, 4, Decimal("1.234567890123"))


def test_a_record_becomes_numbers_with_their_parts_of_the_log_and_series():
    first = Partial(3, COUNTS, version=70, partition=2, segment=1, first_offset=65_536)
    second = first.but(minute=4, fold=2**64 - 1, series={"variant": "b"})
    decode = PartialDecoder().decode
    rows = partial_rows([decode(record([first, second])), decode(record([first]))])
    assert rows.folds == [
        Fold(Base(SOURCE, 2, 1, 65_536), 11),
        Fold(Base(SOURCE, 2, 1, 65_536), 2**64 - 1),
    ]
    assert rows.fold.tolist() == [0, 1, 0]
    assert rows.series_names == [
        ("default", "checkout", "openai", "gpt-4o", "", "", "", ""),
        ("default", "checkout", "openai", "gpt-4o", "", "b", "", ""),
    ]
    assert rows.series.tolist() == [0, 1, 0]
    assert rows.minute.tolist() == [START + 3, START + 4, START + 3]
    assert rows.version.tolist() == [70, 70, 70]
    assert rows.values.tolist() == [[7, 2, 1, 5, 4, 1_234_567, 890_123]] * 3


@pytest.mark.parametrize(
    "cost", ["0", "0.000000000001", "9223372.036854775807", "9223372.036854775808", "99999999.9"]
)
def test_any_cost_of_the_contract_is_exact(cost):
    counts = Counts(1, cost_usd=Decimal(cost))
    table = PartialDecoder().decode(record([Partial(0, counts)]))
    whole, rest = partial_rows([table]).values[0, -2:].tolist()
    assert Decimal(whole * 10**6 + rest).scaleb(-12) == Decimal(cost)


def test_a_partial_of_more_than_a_billion_dollars_counts_as_one():
    table = PartialDecoder().decode(record([Partial(0, Counts(1, cost_usd=Decimal("1e20")))]))
    assert partial_rows([table]).values[0, -2:].tolist() == [10**15, 0]


def test_a_column_that_an_older_worker_did_not_have_is_all_zero():
    older = partial_table([Partial(0, COUNTS)]).drop_columns(["context_hits", "cost_usd"])
    rows = partial_rows([PartialDecoder().decode(encode_partials(older))])
    assert rows.values.tolist() == [[7, 2, 1, 5, 0, 0, 0]]


def test_columns_in_another_order_are_found_by_name():
    names = list(reversed(WINDOW_ROWS.names))
    turned = partial_table([Partial(0, COUNTS)]).select(names)
    decoder = PartialDecoder()
    for table in (turned, partial_table([Partial(0, COUNTS)]), turned):
        assert partial_rows([decoder.decode(encode_partials(table))]).values[0, 0] == 7


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"\x00" * 100,
        record([Partial(0, COUNTS)])[:50],
        encode_partials(pa.table({"calls": [1]})),
        encode_partials(partial_table([Partial(0, COUNTS)]).set_column(5, "version", pa.array(["1"]))),
    ],
    ids=["empty", "json", "zeros", "cut", "other columns", "another type"],
)
def test_anything_else_is_refused(value):
    with pytest.raises(NotPartialsError):
        PartialDecoder().decode(value)


def test_a_record_without_rows_is_a_table_without_rows():
    assert PartialDecoder().decode(record([])).num_rows == 0
