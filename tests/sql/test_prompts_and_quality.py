"""Prompt length against model time, the longest prompts, and scores below a limit: the views, and older databases."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.support.clickhouse_rows import FOLD, START, event, ledger_table, partial_table
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.schemas.arrow import WINDOW_ROWS
from tokentide.schemas.sketch import bucket_key, bucket_value
from tokentide.sql.catalogue import Catalogue, catalogue
from tokentide.sql.migrate import migrate

MIGRATION = "0007_prompt_times_and_quality_buckets"


def _timed(offset, tokens, model_ms, **fields):
    return event(offset, timestamp=START, input_tokens=tokens, stages_model_ms=model_ms, **fields)


def test_the_slope_is_in_milliseconds_per_100_tokens_and_base_is_the_rest(database):
    """300 ms and 20 ms per 100 tokens."""
    database.store([_timed(n, tokens, 300 + tokens / 5) for n, tokens in enumerate((100, 250, 4_000))])
    (row,) = database.dicts("SELECT * FROM {database}.prompt_time_slopes")
    assert str(row["window_start"]) == "2024-03-01 00:00:00"
    assert (row["environment"], row["provider"], row["model"]) == ("production", "openai", "gpt-4o")
    assert (row["calls"], row["prompt_time_calls"]) == (3, 3)
    assert (row["mean_input_tokens"], row["mean_model_ms"]) == (1450.0, 590.0)
    assert (row["ms_per_100_input_tokens"], row["base_ms"]) == (20.0, 300.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_over_segments_services_and_minutes_is_that_of_polyfit(database, seed):
    draw = random.Random(seed)
    lengths = [int(draw.lognormvariate(7, 1.5)) + 1 for _ in range(300)]
    times_ms = [round(200 + tokens / 50 + draw.uniform(-150, 150), 3) for tokens in lengths]
    database.store(
        [
            event(
                n * 700,
                timestamp=START + timedelta(seconds=n * 11),
                service=f"service-{n % 3}",
                prompt_name=f"template-{n % 5}",
                input_tokens=tokens,
                stages_model_ms=ms,
            )
            for n, (tokens, ms) in enumerate(zip(lengths, times_ms, strict=True))
        ]
    )
    assert database.ask("SELECT uniqExact(segment) FROM {database}.windows_in_force") == [(4,)]
    slope, base = np.polyfit(lengths, times_ms, 1)
    (row,) = database.dicts("SELECT * FROM {database}.prompt_time_slopes")
    assert row["prompt_time_calls"] == 300
    assert row["ms_per_100_input_tokens"] == pytest.approx(100 * slope, rel=1e-9)
    assert row["base_ms"] == pytest.approx(base, rel=1e-9)


def test_slopes_are_by_model_and_by_window(database):
    database.store(
        [
            *(_timed(n, 100 * n, 10.0 * n) for n in (1, 2)),
            *(_timed(n, 100 * n, 70.0 * n, model="other") for n in (3, 4)),
            *(
                event(n, timestamp=START + timedelta(hours=1), input_tokens=100 * n, stages_model_ms=5.0 * n)
                for n in (5, 6)
            ),
        ]
    )
    slopes = (
        "SELECT toHour(window_start), model, ms_per_100_input_tokens "
        "FROM {database}.prompt_time_slopes_every(seconds = 3600) ORDER BY ALL"
    )
    assert database.ask(slopes) == [(12, "gpt-4o", 10.0), (12, "other", 70.0), (13, "gpt-4o", 5.0)]


@pytest.mark.parametrize(
    ("log", "points"),
    [
        ([_timed(0, None, 5.0), _timed(1, 7, None)], 0),
        ([_timed(0, 7, 5.0)], 1),
        ([_timed(0, 7, 5.0), _timed(1, 7, 9.0)], 2),
        ([_timed(0, 7, 5.0), _timed(1, 9, 60_000.0, status="error", error_class="timeout")], 1),
    ],
    ids=["nothing reported", "one call", "one length", "one that ended well"],
)
def test_a_line_that_is_not_determined_is_null(database, log, points):
    database.store(log)
    (row,) = database.dicts("SELECT * FROM {database}.prompt_time_slopes")
    assert (row["calls"], row["prompt_time_calls"]) == (len(log), points)
    assert (row["ms_per_100_input_tokens"], row["base_ms"]) == (None, None)
    assert row["mean_model_ms"] is None if points == 0 else row["mean_model_ms"] >= 5


def test_a_slope_of_long_prompts_that_differ_little_keeps_its_digits(database):
    """n Σxy and Σx Σy are 9 × 10¹⁸ and differ by 18,000; as doubles, which lie 1,024 apart there, they would miss it."""
    database.store([_timed(n, 9_999_997 + n, 99_999_990.001 + 3 * n) for n in range(3)])
    assert database.ask("SELECT ms_per_100_input_tokens FROM {database}.prompt_time_slopes") == [(300.0,)]


def test_sums_of_products_go_beyond_64_bits(database):
    partial = partial_table([event(0, timestamp=START)]).to_pylist()[0]
    wide = {"prompt_time_squares": Decimal(3 * 10**22), "prompt_time_products": Decimal(5 * 10**26)}
    schema = partial_table([]).schema
    rows = [partial | wide, partial | wide | {"segment": 1, "first_offset": SEGMENT_OFFSETS}]
    database.insert("llm_windows", partial_table([]).from_pylist(rows, schema=schema))
    database.insert(
        "llm_ledger", ledger_table([event(0, timestamp=START), event(SEGMENT_OFFSETS, timestamp=START)])
    )
    sums = "SELECT prompt_time_squares, prompt_time_products FROM {database}.windows"
    assert database.ask(sums) == [(Decimal(6 * 10**22), Decimal(10**27))]


def test_the_longest_prompt_of_a_template_is_exact_over_segments_and_models(database):
    database.store(
        [
            event(0, timestamp=START, prompt_name="summary", input_tokens=123_457),
            event(SEGMENT_OFFSETS, timestamp=START, prompt_name="summary", input_tokens=99, model="other"),
            event(SEGMENT_OFFSETS + 1, timestamp=START, prompt_name="summary", input_tokens=5),
            event(1, timestamp=START, prompt_name="summary", input_tokens=None),
            event(2, timestamp=START, prompt_name="greeting", input_tokens=12),
            event(3, timestamp=START, prompt_name="silent", input_tokens=None),
        ]
    )
    rows = database.ask(
        "SELECT prompt_name, calls, input_known_calls, input_tokens_max, input_tokens_mean, input_tokens_p95 "
        "FROM {database}.longest_prompts ORDER BY input_tokens_max DESC NULLS LAST"
    )
    assert rows == [
        ("summary", 4, 3, 123_457, 41_187.0, bucket_value(bucket_key(123_457.0))),
        ("greeting", 1, 1, 12, 12.0, bucket_value(bucket_key(12.0))),
        ("silent", 1, 0, None, None, None),
    ]


SCORES = (0.0, 0.28, 0.29, 0.2999, 0.57, 0.58, 0.995, 1.0, None)


@pytest.mark.parametrize("limit", [0, 0.28, 0.29, 0.3, 0.58, 0.99, 1])
def test_the_share_below_a_limit_is_that_of_the_scores_themselves(database, limit):
    database.store([event(n, timestamp=START, quality_score=score) for n, score in enumerate(SCORES)])
    below = sum(score < limit for score in SCORES if score is not None)
    (row,) = database.dicts(f"SELECT * FROM {{database}}.quality_every(limit = {limit}, seconds = 3600)")
    assert (row["calls"], row["quality_scored_calls"], row["quality_bucketed_calls"]) == (9, 8, 8)
    assert (row["score_limit"], row["below_limit_calls"], row["below_limit_share"]) == (
        limit,
        below,
        below / 8,
    )


def test_the_mean_score_has_a_margin_of_two_standard_errors(database):
    """Scores 0.2, 0.4, 0.9: mean 0.5, variance 0.13."""
    database.store(
        [event(n, timestamp=START, quality_score=score) for n, score in enumerate((0.2, 0.4, 0.9))]
    )
    (row,) = database.dicts("SELECT * FROM {database}.quality")
    assert (row["score_limit"], row["below_limit_calls"], row["below_limit_share"]) == (0.5, 2, 2 / 3)
    assert row["quality_mean"] == pytest.approx(0.5, rel=1e-12)
    assert row["quality_mean_margin"] == pytest.approx(1.96 * (0.13 / 3) ** 0.5, rel=1e-12)


def test_variants_are_scored_apart(database):
    database.store(
        [
            event(n, timestamp=START, variant=variant, quality_score=score)
            for n, (variant, score) in enumerate([("a", 0.1), ("a", 0.9), ("b", 0.6), ("c", None)])
        ]
    )
    assert database.ask(
        "SELECT variant, quality_scored_calls, quality_mean, quality_mean_margin IS NULL, below_limit_share "
        "FROM {database}.quality ORDER BY variant"
    ) == [("a", 2, 0.5, 0, 0.5), ("b", 1, 0.6, 1, 0.0), ("c", 0, None, 1, None)]


@pytest.mark.parametrize("limit", ["0.295", "-0.01", "1.01", "nan"])
def test_a_limit_that_scores_are_not_counted_by_is_an_error_not_a_number(database, limit):
    database.store([event(0, quality_score=0.5)])
    with pytest.raises(DatabaseError) as caught:
        database.ask(
            f"SELECT below_limit_share FROM {{database}}.quality_every(limit = {limit}, seconds = 60)"
        )
    assert caught.value.code == 395


@pytest.fixture
def older(new_database):
    """A database as it was before the columns came, with a partial of its own."""
    database = new_database()
    schema = catalogue()
    before = tuple(file for file in schema.migrations if file.name < MIGRATION)
    migrate(database.client, database.name, schema=Catalogue(before, (), ()))
    columns = [name for name in _columns(database) if name != "stored_at"]
    old = [event(0, timestamp=START, quality_score=0.9, stages_model_ms=9.0)]
    known = [name for name in _columns(database, "llm_ledger") if name != "stored_at"]
    database.insert("llm_ledger", ledger_table(old).select(known))
    database.insert("llm_windows", partial_table(old).select(columns))
    return database


def _columns(database, table="llm_windows"):
    query = (
        "SELECT name FROM system.columns WHERE database = {d:String} AND table = {t:String} ORDER BY position"
    )
    return [name for (name,) in database.ask(query, d=database.name, t=table)]


def test_an_older_database_gets_the_columns_once_and_where_the_contract_has_them(older):
    assert _columns(older) != [*WINDOW_ROWS.names, "stored_at"]
    steps = [step.name for step in migrate(older.client, older.name) if step.kind == "migration"]
    assert steps == [file.name for file in catalogue().migrations if file.name >= MIGRATION]
    assert _columns(older) == [*WINDOW_ROWS.names, "stored_at"]
    assert migrate(older.client, older.name) == []


def test_the_migration_may_be_cut_short_and_run_again(older):
    older.do("ALTER TABLE {database}.llm_windows ADD COLUMN input_tokens_max Int64 AFTER input_tokens_sketch")
    assert MIGRATION in [step.name for step in migrate(older.client, older.name)]
    migration = next(file for file in catalogue().migrations if file.name == MIGRATION)
    older.do(migration.text[migration.text.index("ALTER") :].rstrip().rstrip(";"))
    assert _columns(older) == [*WINDOW_ROWS.names, "stored_at"]


def test_windows_of_an_older_release_report_nothing_and_new_ones_are_added_to_them(older):
    migrate(older.client, older.name)
    unknown = (
        "SELECT q.quality_scored_calls, q.below_limit_share, p.input_known_calls, p.input_tokens_max, "
        "s.prompt_time_calls, s.ms_per_100_input_tokens FROM {database}.quality AS q, {database}.longest_prompts AS p, "
        "{database}.prompt_time_slopes AS s"
    )
    assert older.ask(unknown) == [(1, None, 1, None, 0, None)]
    older.store(
        [
            event(
                SEGMENT_OFFSETS + n,
                timestamp=START,
                quality_score=0.2,
                input_tokens=n,
                stages_model_ms=float(n),
            )
            for n in (1, 2)
        ],
        fold=FOLD + 1,
    )
    assert older.ask(unknown) == [(3, 1.0, 3, 2, 2, 100.0)]
    assert older.ask("SELECT quality_bucketed_calls FROM {database}.quality") == [(2,)]
