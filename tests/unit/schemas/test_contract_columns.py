from __future__ import annotations

from collections import Counter

import pytest
from pydantic import BaseModel

from tokentide.schemas import limits
from tokentide.schemas.call import CallEvent, ErrorInfo
from tokentide.schemas.columns import call_columns, column
from tokentide.schemas.fields import Kind

COLUMNS = {each.name: each for each in call_columns()}


def leaves(schema: dict[str, object], definitions: dict[str, dict[str, object]]) -> list[tuple[str, ...]]:
    """The paths of a JSON Schema's properties, through references to the contract's own objects."""
    found: list[tuple[str, ...]] = []
    for name, inner in schema["properties"].items():  # type: ignore[attr-defined]
        references = [part["$ref"] for part in inner.get("anyOf", [inner]) if "$ref" in part]
        if references:
            nested = definitions[references[0].rsplit("/", 1)[-1]]
            found += [(name, *path) for path in leaves(nested, definitions)]
        else:
            found.append((name,))
    return found


def test_every_field_of_the_contract_is_a_column_once() -> None:
    schema = CallEvent.model_json_schema()
    paths = leaves(schema, schema["$defs"])
    assert Counter(each.path for each in call_columns()) == Counter(
        path for path in paths if path not in {("event_type",), ("schema_version",)}
    )


def test_nested_names_are_joined_by_an_underscore_and_clash_with_no_other() -> None:
    assert all(each.name == "_".join(each.path) for each in call_columns())
    assert len(COLUMNS) == len(call_columns())
    assert COLUMNS["error_class"].path == ("error", "class")
    assert COLUMNS["stages_model_ms"].path == ("stages", "model_ms")


def test_the_order_is_that_of_the_contract() -> None:
    tops = list(dict.fromkeys(each.path[0] for each in call_columns()))
    assert tops == [name for name in CallEvent.model_fields if name not in {"event_type", "schema_version"}]


def test_the_required_columns_are_those_without_which_an_event_has_no_place() -> None:
    assert [each.name for each in call_columns() if each.required] == ["event_id", "timestamp", "service"]


def test_closed_sets_have_their_words() -> None:
    choices = {each.name: each.choices for each in call_columns() if each.choices is not None}
    assert choices.keys() == {"status", "cache_reporting", "response_cache", "error_stage", "error_class"}
    assert choices["status"] == ("ok", "error", "cancelled")
    assert choices["cache_reporting"] == ("inclusive", "exclusive")
    assert choices["response_cache"] == ("none", "exact", "semantic")
    assert choices["error_stage"] == (
        "input_parse", "prompt_render", "context", "model_call", "output", "compliance",
    )  # fmt: skip
    assert set(choices["error_class"] or ()) == {
        "timeout", "rate_limit", "auth", "quota", "context_length", "invalid_request", "content_filter", "server",
        "network", "other",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["text", "id", "texts", "labels"])
def test_free_text_has_a_limit_everywhere_but_in_what_is_cut_or_hashed(kind: str) -> None:
    free = [each for each in call_columns() if each.kind == kind and each.choices is None]
    unlimited = {each.name for each in free if each.limit is None}
    assert unlimited <= {"error_message"}
    assert {each.limit for each in free} <= {limits.MAX_TEXT, None}


def test_every_number_has_its_bounds() -> None:
    for each in call_columns():
        if each.kind in {"count", "ms", "fraction", "money"}:
            assert each.limit is not None, each.name
        if each.kind == "number":
            assert each.limit is None, each.name
    at_least_one = {"event_id", "service", "turn", "attempts"}
    assert {each.name: each.minimum for each in call_columns() if each.minimum} == {
        **dict.fromkeys(at_least_one, 1),
        "error_http_status": 100,
    }


def test_limits_follow_from_the_contract() -> None:
    assert COLUMNS["input_tokens"].limit == limits.MAX_COUNT
    assert COLUMNS["gpu_memory_bytes"].limit == limits.MAX_BYTES
    assert COLUMNS["duration_ms"].limit == limits.MAX_DURATION_MS
    assert COLUMNS["gpu_utilization"].limit == 1
    assert COLUMNS["cost_usd"].limit == limits.MAX_COST_USD
    assert COLUMNS["error_http_status"].limit == 599


def test_every_column_says_what_it_means() -> None:
    assert [each.name for each in call_columns() if not each.description] == []


def test_every_leaf_has_exactly_one_kind() -> None:
    def kinds(model: type[BaseModel]) -> dict[str, int]:
        return {
            name: sum(isinstance(item, Kind) for item in field.metadata)
            for name, field in model.model_fields.items()
        }

    assert kinds(ErrorInfo)["class_"] == 1
    assert kinds(CallEvent)["event_id"] == 1


def test_a_column_is_found_by_its_name_and_another_name_is_an_error() -> None:
    assert column("error_class") is COLUMNS["error_class"]
    with pytest.raises(KeyError):
        column("error.class")
