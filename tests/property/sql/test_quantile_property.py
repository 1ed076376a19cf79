"""The SQL function and `schemas.sketch.quantile` agree on any sketch, to the last bit."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokentide.schemas.sketch import bucket_key, quantile
from tokentide.sql.catalogue import catalogue
from tokentide.sql.statements import split_statements

_KEYS = st.integers(-32_768, 32_767)
_COUNTS = st.integers(0, 10**12)
_SKETCHES = st.dictionaries(_KEYS, _COUNTS, max_size=40)
_FRACTIONS = st.one_of(st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]), st.floats(0, 1))

_ASK = """
    SELECT tokentide_quantile(mapFromArrays({keys:Array(Int16)}, {counts:Array(Int64)}), {fraction:Float64})
"""
_ASK_MERGED = """
    SELECT tokentide_quantile(sumMap(sketch), {fraction:Float64})
    FROM (
        SELECT mapFromArrays(part.1, part.2) AS sketch
        FROM (SELECT arrayJoin(arrayZip({keys:Array(Array(Int16))}, {counts:Array(Array(Int64))})) AS part)
    )
"""


@pytest.fixture(scope="module")
def client(engine):
    """With the function as the migrations create it."""
    (function,) = [found for found in catalogue().functions if found.name == "tokentide_quantile"]
    for statement in split_statements(function.text):
        engine.command(statement)
    return engine


def _in_sql(client, sketch, fraction):
    parameters = {"keys": list(sketch), "counts": list(sketch.values()), "fraction": fraction}
    return client.query(_ASK, parameters).result_rows[0][0]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sketch=_SKETCHES, fraction=_FRACTIONS)
def test_a_quantile_is_the_same_in_sql_and_python(client, sketch, fraction):
    assert _in_sql(client, sketch, fraction) == quantile(sketch, fraction)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(0, 1e8), min_size=1, max_size=60),
    parts=st.integers(1, 5),
    fraction=_FRACTIONS,
)
def test_merging_parts_of_a_sketch_in_sql_changes_no_quantile(client, values, parts, fraction):
    sketches = [{} for _ in range(parts)]
    whole = {}
    for place, value in enumerate(values):
        key = bucket_key(value)
        for sketch in (sketches[place % parts], whole):
            sketch[key] = sketch.get(key, 0) + 1
    parameters = {
        "keys": [list(sketch) for sketch in sketches],
        "counts": [list(sketch.values()) for sketch in sketches],
        "fraction": fraction,
    }
    assert client.query(_ASK_MERGED, parameters).result_rows[0][0] == quantile(whole, fraction)
