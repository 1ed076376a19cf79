from __future__ import annotations

import pyarrow as pa
import pytest

from tokentide.schemas.aggregates import AGGREGATES, DEFAULT_DIMENSIONS, DIMENSIONS, OTHER_SERIES, STAGES
from tokentide.schemas.arrow import MONEY, SOURCE_FIELDS, WIDE_INTEGER, WINDOW_ROWS, aggregate_type
from tokentide.schemas.call import Stages
from tokentide.schemas.columns import call_columns
from tokentide.stream.fold.measures import NAMES
from tokentide.stream.fold.totals import MAPS, PEAKS, SUMS, WIDE

BY_NAME = {each.name: each for each in AGGREGATES}


def test_names_are_unique_and_clash_with_no_dimension() -> None:
    assert len(BY_NAME) == len(AGGREGATES)
    others = {*DIMENSIONS, "window_start", *(field.name for field in SOURCE_FIELDS)}
    assert BY_NAME.keys() & others == set()


def test_every_stage_of_the_contract_is_counted_summed_and_sketched() -> None:
    assert [f"{stage}_ms" for stage in STAGES] == list(Stages.model_fields)
    for stage in STAGES:
        assert BY_NAME[f"stages_{stage}_calls"].unit == "calls"
        assert (BY_NAME[f"stages_{stage}_us"].merge, BY_NAME[f"stages_{stage}_us"].unit) == ("sum", "us")
        assert BY_NAME[f"stages_{stage}_ms_sketch"].key_type == "bucket"


def test_the_dimensions_are_columns_of_an_event_or_its_model() -> None:
    assert set(DIMENSIONS) - {"model"} <= {column.name for column in call_columns()}
    assert set(DEFAULT_DIMENSIONS) <= set(DIMENSIONS)
    assert OTHER_SERIES == "__other__"


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda aggregate: aggregate.name)
def test_name_unit_and_way_of_merging_agree(aggregate) -> None:
    name = aggregate.name
    assert (aggregate.merge == "map") == (name.endswith(("_sketch", "_buckets")) or "_by_" in name)
    assert (aggregate.merge == "max") == ("_max" in name)
    assert (aggregate.unit == "usd") == name.endswith("_usd")
    if aggregate.merge == "sum":
        assert (aggregate.unit == "us") == name.endswith("_us")
        assert not name.endswith("_calls") or aggregate.unit == "calls"
    assert aggregate.meaning.endswith(".")


def test_the_type_follows_from_the_way_of_merging() -> None:
    assert aggregate_type(BY_NAME["cost_usd"]) == MONEY
    assert aggregate_type(BY_NAME["prompt_time_products"]) == WIDE_INTEGER
    assert aggregate_type(BY_NAME["calls"]) == pa.int64()
    assert aggregate_type(BY_NAME["duration_max_us"]) == pa.int64()
    assert aggregate_type(BY_NAME["duration_ms_sketch"]) == pa.map_(pa.int16(), pa.int64())
    assert aggregate_type(BY_NAME["quality_buckets"]) == pa.map_(pa.int16(), pa.int64())
    assert aggregate_type(BY_NAME["errors_by_class"]) == pa.map_(pa.string(), pa.int64())


def test_a_row_of_windows_has_source_window_dimensions_and_every_aggregate_in_order() -> None:
    assert WINDOW_ROWS.names == [
        *(field.name for field in SOURCE_FIELDS), "window_start", *DIMENSIONS, *BY_NAME,
    ]  # fmt: skip


def test_every_aggregate_is_folded_in_exactly_one_way() -> None:
    assert sorted((*SUMS, *WIDE, *PEAKS, *MAPS)) == sorted(BY_NAME)
    assert NAMES.keys() == {name for name, each in BY_NAME.items() if each.key_type == "name"}


def test_a_share_can_be_computed_for_everything_that_not_all_calls_report() -> None:
    """A sum without the count of those who reported it would read silence as zero."""
    counted_by = {
        "attempts": "attempts_reported_calls",
        "context_hits": "context_reported_calls",
        "cache_read_input_tokens": "cache_reported_calls",
        "response_cache_exact_calls": "response_cache_reported_calls",
        "compliance_passed_calls": "compliance_checked_calls",
        "retrieval_documents": "retrieval_calls",
        "retrieval_hits": "retrieval_reported_calls",
        "retrieval_us": "retrieval_timed_calls",
        "quality_score_e4": "quality_scored_calls",
        "quality_buckets": "quality_scored_calls",
        "cold_start_calls": "cold_start_reported_calls",
        "input_tokens": "input_known_calls",
        "input_tokens_max": "input_known_calls",
        "prompt_time_model_us": "prompt_time_calls",
        "output_tokens": "output_known_calls",
        "cost_usd": "priced_calls",
        "infra_cost_usd": "infra_priced_calls",
        "duration_us": "duration_calls",
        "time_to_first_chunk_us": "time_to_first_chunk_calls",
        "queue_length": "queue_length_calls",
        "concurrency": "concurrency_calls",
        "gpu_memory_bytes": "gpu_memory_calls",
        "gpu_utilization_e4": "gpu_utilization_calls",
        "circuit_open_calls": "circuit_reported_calls",
    }
    assert {*counted_by, *counted_by.values()} <= BY_NAME.keys()
