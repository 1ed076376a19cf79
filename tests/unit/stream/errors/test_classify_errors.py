"""Every failed call has a class of the contract; one that says nothing of itself is `other`, without an owner."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tokentide.stream.enrich.failures import classify_errors


def classified(**columns: list[object]) -> list[tuple[object, object]]:
    table = classify_errors(pa.table({name: pa.array(values) for name, values in columns.items()}))
    return list(zip(table["error_class"].to_pylist(), table["error_owner"].to_pylist(), strict=True))


def test_an_error_that_says_nothing_is_other_and_nobody_s() -> None:
    assert classified(status=["error", "ok", "cancelled"]) == [("other", None), (None, None), (None, None)]


@pytest.mark.parametrize(("stage", "owner"), [("prompt_render", "application"), ("input_parse", "user")])
def test_one_that_names_its_stage_has_the_owner_of_the_stage(stage: str, owner: str) -> None:
    assert classified(status=["error"], error_stage=[stage]) == [("other", owner)]


def test_evidence_is_used_and_a_given_class_is_kept() -> None:
    assert classified(
        status=["error", "error"],
        error_http_status=pa.array([429, None], pa.int64()).to_pylist(),
        error_class=[None, "auth"],
    ) == [("rate_limit", "provider"), ("auth", "application")]
