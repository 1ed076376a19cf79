from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from tokentide.schemas import limits
from tokentide.schemas.call import CallEvent


def call(**fields: Any) -> CallEvent:
    return CallEvent.model_validate({"event_id": "e", "timestamp": 1_769_860_800, "service": "s", **fields})


def is_refused(**fields: Any) -> bool:
    try:
        call(**fields)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("tokens", [10, 10.0])
def test_whole_floats_are_whole_numbers_because_json_knows_one_kind(tokens: float) -> None:
    count = call(input_tokens=tokens).input_tokens
    assert (count, type(count)) == (10, int)


@pytest.mark.parametrize("value", [10.5, "10", True, False, [10], {}, float("nan"), float("inf"), -1])
def test_nothing_else_is_a_count(value: object) -> None:
    assert is_refused(input_tokens=value)


@pytest.mark.parametrize("field", ["duration_ms", "billed_ms", "gpu_utilization", "cost_usd"])
@pytest.mark.parametrize("value", [True, "x", [1], {}, float("nan"), float("inf"), -0.5])
def test_text_booleans_and_what_is_not_finite_are_no_numbers(field: str, value: object) -> None:
    assert is_refused(**{field: value})


@pytest.mark.parametrize("value", [1, 0, "true", "false", [], {}])
def test_only_true_and_false_are_flags(value: object) -> None:
    assert is_refused(stream=value)


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}])
def test_nothing_but_text_is_text(value: object) -> None:
    assert is_refused(feature=value)
    assert is_refused(user_id=value)
    assert is_refused(service=value)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (0.1, "0.100000000000"),  # what was written, not the double 0.1000000000000000055…
        (1, "1.000000000000"),
        ("0.000125", "0.000125000000"),
        ("1E-7", "0.000000100000"),  # how Python prints Decimal("0.0000001")
        ("5e-13", "0.000000000000"),  # halves go to the even neighbour
        ("15e-13", "0.000000000002"),
        ("25e-13", "0.000000000002"),
        ("0.0000000000014999999999999999999", "0.000000000001"),
        (1e-400, "0.000000000000"),
        ("999999", "999999.000000000000"),
        (999_999.0, "999999.000000000000"),
    ],
)
def test_money_is_exact_to_a_picodollar_and_rounds_half_to_even(sent: object, kept: str) -> None:
    assert f"{call(cost_usd=sent).cost_usd:f}" == kept


def test_the_double_0_1_summed_ten_times_is_a_dollar() -> None:
    assert sum(call(cost_usd=0.1).cost_usd or 0 for _ in range(10)) == Decimal(1)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        " ",
        "1,5",
        "$1",
        "1_0",
        " 1 ",
        "+1",
        ".5",
        "1.",
        "٣",
        "NaN",
        "Infinity",
        "-Infinity",
        "0x1",
        "1e9999",
    ],
)
def test_money_in_other_words_is_refused(sent: str) -> None:
    assert is_refused(cost_usd=sent)


@pytest.mark.parametrize("sent", [-1, "-0.01", 999_999.01, "1000000", 10**30, "1e999"])
def test_money_out_of_range_is_refused_never_clamped(sent: object) -> None:
    assert is_refused(cost_usd=sent)


LARGEST = {
    "input_tokens": limits.MAX_COUNT,
    "turn": limits.MAX_COUNT,
    "gpu_memory_bytes": limits.MAX_BYTES,
    "duration_ms": int(limits.MAX_DURATION_MS),
    "gpu_utilization": 1,
    "cost_usd": limits.MAX_COST_USD,
}


@pytest.mark.parametrize("field", LARGEST)
def test_limits_of_numbers_are_allowed_and_one_more_is_not(field: str) -> None:
    assert not is_refused(**{field: LARGEST[field]})
    assert is_refused(**{field: LARGEST[field] + 1})


@pytest.mark.parametrize(
    ("field", "smallest"), [("turn", 1), ("attempts", 1), ("input_tokens", 0), ("duration_ms", 0)]
)
def test_the_smallest_number_is_allowed_and_one_less_is_not(field: str, smallest: int) -> None:
    assert not is_refused(**{field: smallest})
    assert is_refused(**{field: smallest - 1})


@pytest.mark.parametrize(
    ("status", "refused"), [(99, True), (100, False), (429.0, False), (599, False), (600, True)]
)
def test_an_http_status_is_100_to_599(status: float, *, refused: bool) -> None:
    assert is_refused(error={"http_status": status}) is refused


def test_text_is_limited_in_characters_not_in_bytes() -> None:
    assert not is_refused(service="é" * limits.MAX_TEXT)
    assert is_refused(service="é" * (limits.MAX_TEXT + 1))


def test_required_text_may_not_be_empty() -> None:
    assert is_refused(service="")
    assert is_refused(event_id="")


def test_an_error_message_has_no_limit_because_it_is_cut() -> None:
    assert not is_refused(error={"message": "x" * 100_000})


def test_lists_and_labels_have_limits() -> None:
    assert not is_refused(finish_reasons=["x"] * limits.MAX_LIST)
    assert is_refused(finish_reasons=["x"] * (limits.MAX_LIST + 1))
    assert is_refused(finish_reasons=["x" * (limits.MAX_TEXT + 1)])
    full = {f"k{n}": "v" for n in range(limits.MAX_LABELS)}
    assert not is_refused(labels=full)
    assert is_refused(labels={**full, "more": "v"})
    assert not is_refused(labels={"k" * limits.MAX_LABEL_KEY: "v"})
    assert is_refused(labels={"k" * (limits.MAX_LABEL_KEY + 1): "v"})
    assert is_refused(labels={"": "v"})
    assert is_refused(labels={"k": 1})


def test_null_labels_are_absent_labels() -> None:
    assert call(labels={"team": None, "plan": "pro"}).labels == {"plan": "pro"}


OPTIONAL = [name for name, field in CallEvent.model_fields.items() if not field.is_required()]


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_means_absent_for_every_optional_field(field: str) -> None:
    assert call(**{field: None}) == call()


@pytest.mark.parametrize(
    "field",
    [
        "event_type",
        "environment",
        "region",
        "status",
        "cache_reporting",
        "response_cache",
        {"error": {"class": "", "stage": ""}},
    ],
)
def test_empty_text_means_absent_also_where_a_word_or_a_default_stands(field: str | dict[str, Any]) -> None:
    sent = {field: ""} if isinstance(field, str) else field
    absent = {field: None} if isinstance(field, str) else {"error": {}}
    assert call(**sent) == call(**absent)


@pytest.mark.parametrize("version", [0, 2, "1", True, 1.5])
def test_only_version_1_is_read(version: object) -> None:
    assert is_refused(schema_version=version)
    assert not is_refused(schema_version=1)


@pytest.mark.parametrize("field", ["input", "output"])
def test_content_is_text_or_messages(field: str) -> None:
    assert not is_refused(**{field: "text"})
    assert not is_refused(**{field: [{"role": "user", "content": [{"type": "text", "text": "x"}]}]})
    for wrong in (5, True, {"role": "user"}, ["text"], [{"role": "user"}, None]):
        assert is_refused(**{field: wrong})


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"reasoning_output_tokens": 5, "output_tokens": 5}, False),
        ({"reasoning_output_tokens": 6, "output_tokens": 5}, True),
        ({"cache_write_1h_input_tokens": 6, "cache_write_input_tokens": 5}, True),
        ({"cache_read_input_tokens": 3, "cache_write_input_tokens": 2, "input_tokens": 5}, False),
        ({"cache_read_input_tokens": 3, "cache_write_input_tokens": 3, "input_tokens": 5}, True),
        ({"cache_read_input_tokens": 6}, False),  # the whole is unknown
        ({"cache_read_input_tokens": 6, "input_tokens": 5, "cache_reporting": "inclusive"}, True),
        ({"cache_read_input_tokens": 6, "input_tokens": 5, "cache_reporting": "exclusive"}, False),
        ({"reasoning_output_tokens": 6, "output_tokens": 5, "cache_reporting": "exclusive"}, True),
    ],
)
def test_parts_are_not_more_than_their_whole(fields: dict[str, Any], *, refused: bool) -> None:
    assert is_refused(**fields) is refused


def test_unknown_fields_are_accepted_everywhere() -> None:
    assert call(brand_new=1, error={"brand_new": {}}, stages={"brand_new_ms": -1}) == call(
        error={}, stages={}
    )
