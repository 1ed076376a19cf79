"""Rows through mappings: every form of expression, every kind of value, every way to be wrong."""

from __future__ import annotations

import io

import pytest

from tokentide.producers.replay.compiling import BadRow, MappedRow, RowSettings
from tokentide.producers.replay.load import parse_mapping
from tokentide.producers.replay.run import map_rows
from tokentide.producers.traffic_errors import InputError, MappingError
from tokentide.schemas.call import CallEvent

CSV = '[time]\ncolumn = "t"\nunit = "s"\n[fields]\nservice = { constant = "x" }\n'
JSON = 'format = "jsonl"\n' + CSV


def rows(mapping: str, content: str, **settings):
    source = io.BytesIO(content.encode())
    return list(map_rows(source, parse_mapping(mapping, "test"), RowSettings(**settings)))


def events(mapping: str, content: str, **settings) -> list[dict]:
    found = rows(mapping, content, **settings)
    assert all(isinstance(row, MappedRow) for row in found), found
    for row in found:
        CallEvent.model_validate(row.event)
    return [row.event for row in found]


def values(field: str, expression: str, cells: list[str], *, name: str | None = None) -> list[object]:
    """The field's value for each cell of a column `c`."""
    content = "t,c\n" + "".join(f"1700000000,{cell}\n" for cell in cells)
    return [event.get(name or field) for event in events(CSV + f"{field} = {expression}\n", content)]


def refusal(field: str, expression: str, cell: str) -> str:
    (row,) = rows(CSV + f"{field} = {expression}\n", f"t,c\n1700000000,{cell}\n")
    assert isinstance(row, BadRow)
    return f"{row.field}: {row.reason}"


def test_a_text_is_a_column():
    assert values("feature", '"c"', ["a", " b "]) == ["a", " b "]


def test_an_empty_cell_is_absent_and_so_is_what_the_mapping_calls_absent():
    assert values("feature", '"c"', ["", "a"]) == [None, "a"]
    mapping = 'absent = ["NA", "-"]\n' + CSV + 'feature = "c"\n'
    found = events(mapping, "t,c\n1700000000,NA\n1700000000,-\n1700000000,n\n")
    assert [event.get("feature") for event in found] == [None, None, "n"]


def test_whole_numbers_may_be_written_as_decimals():
    assert values("input_tokens", '"c"', ["12", "63.0", "1e3", " 7 "]) == [12, 63, 1000, 7]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("many", "input_tokens: is text of 4 characters; must be a number"),
        ("1.5", "input_tokens: is the number 1.5; must be a whole number"),
        ("-1", "input_tokens: is the number -1; must be 0 … 10000000000"),
        ("1e30", "input_tokens: is the number 1000000000000000019884624838656; must be 0 … 10000000000"),
        ("nan", "input_tokens: is not a finite number"),
        ("inf", "input_tokens: is not a finite number"),
    ],
)
def test_what_is_no_count_makes_a_bad_row(cell, reason):
    assert refusal("input_tokens", '"c"', cell) == reason


def test_a_value_is_never_repeated_in_the_reason():
    assert "secret" not in refusal("input_tokens", '"c"', "secret")
    assert "secret" not in refusal("status", '"c"', "secret")
    assert "secret" not in refusal("feature", '{ column = "c", lookup = { a = "b" } }', "secret")


def test_limits_of_the_contract_hold():
    assert (
        refusal("feature", '"c"', "x" * 201)
        == "feature: is text of 201 characters; must be 0 … 200 characters"
    )
    assert refusal("gpu_utilization", '"c"', "1.01") == "gpu_utilization: is the number 1.01; must be 0 … 1"
    assert refusal("turn", '"c"', "0") == "turn: is the number 0; must be 1 … 10000000000"
    assert (
        refusal("stream", '"c"', "maybe")
        == "stream: is text of 5 characters; must be true or false (also yes/no, 1/0)"
    )
    assert refusal("cost_usd", '"c"', "1e9") == "cost_usd: must be 0 … 999999 USD"


def test_durations_take_a_unit():
    assert values("duration_ms", '{ column = "c", unit = "s" }', ["1.5", "0", "32.0"]) == [1500.0, 0, 32000.0]
    assert values("duration_ms", '{ column = "c", unit = "us" }', ["1500"]) == [1.5]
    assert values("duration_ms", '{ column = "c", unit = "min" }', ["2"]) == [120000]


def test_scaling_leaves_no_noise_of_binary_fractions():
    assert values("duration_ms", '{ column = "c", unit = "s" }', ["11.149", "4.667"]) == [11149.0, 4667.0]


def test_numbers_can_be_scaled_and_shifted():
    assert values("turn", '{ column = "c", add = 1 }', ["0", "7"]) == [1, 8]
    assert values("input_tokens", '{ column = "c", scale = 512 }', ["3"]) == [1536]


def test_flags_are_read_from_the_words_of_many_tools():
    cells = ["true", "False", "YES", "no", "1", "0"]
    assert values("stream", '"c"', cells) == [True, False, True, False, True, False]


def test_money_stays_exact():
    assert values("cost_usd", '"c"', ["0.10000000000000001", "1e-7", "0"]) == [
        "0.10000000000000001",
        "0.0000001",
        "0",
    ]


def test_a_lookup_refuses_what_it_does_not_list_unless_told_otherwise():
    table = 'lookup = { ChatGPT = "gpt-3.5-turbo" }'
    assert values("request_model", f'{{ column = "c", {table} }}', ["ChatGPT", ""]) == ["gpt-3.5-turbo", None]
    assert refusal("request_model", f'{{ column = "c", {table} }}', "GPT-4") == (
        "request_model: is text of 5 characters that the lookup does not list (ChatGPT); add it, or set `unlisted`"
    )
    assert values("request_model", f'{{ column = "c", {table}, unlisted = "keep" }}', ["GPT-4"]) == ["GPT-4"]
    assert values("request_model", f'{{ column = "c", {table}, unlisted = "absent" }}', ["GPT-4"]) == [None]


def test_a_lookup_finds_numbers_and_flags_of_json_by_their_text():
    mapping = JSON + 'status = { column = "c", lookup = { 1 = "ok", 2 = "error", true = "cancelled" } }\n'
    content = '{"t":1700000000,"c":1}\n{"t":1700000000,"c":2}\n{"t":1700000000,"c":true}\n'
    assert [event["status"] for event in events(mapping, content)] == ["ok", "error", "cancelled"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("is = 0", ["0", "0.0"]),
        ('is = "0"', ["0"]),
        ("is_not = 0", ["5", "x", "-1"]),
        ('in = ["x", 5]', ["5", "x"]),
        ("missing = true", [""]),
        ("missing = false", ["0", "0.0", "5", "x", "-1"]),
    ],
)
def test_a_case_holds_for_these_cells(test, expected):
    cells = ["0", "0.0", "5", "x", "-1", ""]
    found = values("feature", f'{{ when = [{{ column = "c", {test}, then = "yes" }}] }}', cells)
    assert [cell for cell, value in zip(cells, found, strict=True) if value == "yes"] == expected


def test_numbers_can_be_compared_and_all_tests_of_a_case_must_hold():
    expression = '{ when = [{ column = "c", above = 1, below = 3, then = "yes" }] }'
    assert values("feature", expression, ["1", "2", "3", ""]) == [None, "yes", None, None]
    assert refusal("feature", expression, "x") == "feature: is text of 1 character; must be a number"


def test_the_first_case_that_holds_wins_and_then_may_be_an_expression():
    expression = (
        '{ when = [{ column = "c", is = "a", then = "first" }, { column = "c", missing = false, then = '
        '{ column = "c" } }], otherwise = "none" }'
    )
    assert values("feature", expression, ["a", "b", ""]) == ["first", "b", "none"]


def test_the_first_column_that_is_there_is_taken():
    mapping = JSON + 'request_model = { first = ["new", "old", { constant = "unknown" }] }\n'
    content = (
        '{"t":1700000000,"new":"n","old":"o"}\n{"t":1700000000,"new":null,"old":"o"}\n{"t":1700000000}\n'
    )
    assert [event["request_model"] for event in events(mapping, content)] == ["n", "o", "unknown"]


def test_a_path_leads_into_nested_objects():
    mapping = JSON + 'input_tokens = { path = ["usage", "in"] }\n'
    content = '{"t":1700000000,"usage":{"in":3}}\n{"t":1700000000,"usage":7}\n{"t":1700000000}\n'
    assert [event.get("input_tokens") for event in events(mapping, content)] == [3, None, None]


def test_options_come_from_the_user_else_from_their_default_else_are_absent():
    mapping = (
        CSV
        + 'request_model = { option = "model" }\nprovider = { option = "provider" }\n'
        + '[options.model]\nhelp = "x"\n[options.provider]\nhelp = "x"\ndefault = "openai"\n'
    )
    content = "t\n1700000000\n"
    assert "request_model" not in events(mapping, content)[0]
    assert events(mapping, content)[0]["provider"] == "openai"
    assert events(mapping, content, values={"model": "m"})[0]["request_model"] == "m"


def test_groups_and_labels_are_nested_as_in_the_event_and_left_out_when_empty():
    mapping = CSV + 'error.type = "c"\nerror.http_status = "d"\nlabels.kind = "c"\n'
    first, second = events(mapping, "t,c,d\n1700000000,a,503\n1700000000,,\n")
    assert first["error"] == {"type": "a", "http_status": 503}
    assert first["labels"] == {"kind": "a"}
    assert "error" not in second
    assert "labels" not in second


def test_service_environment_and_region_can_be_set_for_every_row():
    content = "t\n1700000000\n"
    (event,) = events(CSV, content, overrides={"service": "mine", "region": "eu"})
    assert (event["service"], event["region"]) == ("mine", "eu")


def test_numbers_that_contradict_each_other_make_a_bad_row():
    mapping = CSV + 'input_tokens = "a"\ncache_read_input_tokens = "b"\ncache_write_input_tokens = "c"\n'
    (row,) = rows(mapping, "t,a,b,c\n1700000000,10,6,5\n")
    assert row.reason == (
        "cache_read_input_tokens + cache_write_input_tokens (11) is more than input_tokens (10), which contains it"
    )
    exclusive = mapping + 'cache_reporting = { constant = "exclusive" }\n'
    assert len(events(exclusive, "t,a,b,c\n1700000000,10,6,5\n")) == 1


def test_the_turn_of_a_conversation_can_be_counted():
    mapping = CSV + 'turn = { function = "ordinal_in", group = "c" }\n'
    content = "t,c\n" + "".join(f"1700000000,{c}\n" for c in "abaab")
    assert [event["turn"] for event in events(mapping, content)] == [1, 1, 2, 3, 2]


def test_leading_known_blocks_are_the_hits_of_a_cache_that_never_forgets():
    mapping = JSON + (
        'input_tokens = "n"\n'
        'cache_read_input_tokens = { function = "leading_known_tokens", ids = "ids", at_most = "n", block_tokens = 10 }\n'
    )
    content = "".join(
        f'{{"t":1700000000,"n":{n},"ids":{ids}}}\n'
        for n, ids in [(25, [1, 2, 3]), (25, [1, 2, 9]), (8, [1]), (25, [8, 1, 2]), (30, [1, 2, 9])]
    )
    assert [event["cache_read_input_tokens"] for event in events(mapping, content)] == [0, 20, 8, 0, 30]


def test_a_hit_is_a_value_seen_in_an_earlier_row():
    mapping = JSON + (
        'retrieval.hit = { function = "any_seen_before", values = "ids" }\n'
        'retrieval.documents = { function = "count_of", values = "ids" }\n'
    )
    content = "".join(f'{{"t":1700000000,"ids":{ids}}}\n' for ids in [[1, 1], [2], [3, 1], []])
    found = [event["retrieval"] for event in events(mapping, content)]
    assert found == [
        {"hit": False, "documents": 2},
        {"hit": False, "documents": 1},
        {"hit": True, "documents": 2},
        {"documents": 0},
    ]


def test_functions_refuse_what_is_no_list():
    mapping = JSON + 'retrieval.documents = { function = "count_of", values = "ids" }\n'
    (row,) = rows(mapping, '{"t":1700000000,"ids":"abc"}\n')
    assert row.reason == "is text of 3 characters; must be a list"


def test_a_group_must_be_a_plain_value():
    mapping = JSON + 'turn = { function = "ordinal_in", group = "c" }\n'
    first, second = rows(mapping, '{"t":1700000000,"c":[1]}\n{"t":1700000000}\n')
    assert first.reason == "is a list of 1; must be a text or a number"
    assert "turn" not in second.event


def test_rows_can_be_skipped():
    mapping = 'skip = [{ column = "c", is = "warmup" }]\n' + CSV
    found = rows(mapping, "t,c\n1700000000,warmup\n1700000000,x\n")
    assert found[0] is None
    assert isinstance(found[1], MappedRow)


@pytest.mark.parametrize(
    ("time", "cell", "expected"),
    [
        ('unit = "s"', "1700000000", "2023-11-14T22:13:20.000000Z"),
        ('unit = "s"', "1700000000.25", "2023-11-14T22:13:20.250000Z"),
        ('unit = "ms"', "1700000000250", "2023-11-14T22:13:20.250000Z"),
        ('unit = "us"', "1700000000250001", "2023-11-14T22:13:20.250001Z"),
        ('unit = "ns"', "1700000000250001999", "2023-11-14T22:13:20.250001Z"),
        ('zone = "UTC"', "2023-11-16 18:17:03.9799609", "2023-11-16T18:17:03.979960Z"),
        ('zone = "+08:00"', "2023-11-16 18:17:03", "2023-11-16T10:17:03.000000Z"),
        ('zone = "Asia/Shanghai"', "2023-11-16 18:17:03", "2023-11-16T10:17:03.000000Z"),
        ('zone = "+08:00"', "2023-11-16T18:17:03Z", "2023-11-16T18:17:03.000000Z"),
        ("", "2023-11-16T18:17:03+01:00", "2023-11-16T17:17:03.000000Z"),
        ('unit = "s"\nstart = "2023-11-01T00:00:00+08:00"', "60", "2023-10-31T16:01:00.000000Z"),
        ('unit = "s"\nstart = "2023-11-01"\nzone = "+08:00"', "60", "2023-10-31T16:01:00.000000Z"),
        ('unit = "ms"\nstart = "2024-06-01"', "2999", "2024-06-01T00:00:02.999000Z"),
    ],
)
def test_times_are_read_in_every_common_form(time, cell, expected):
    mapping = f'[time]\ncolumn = "t"\n{time}\n[fields]\nservice = {{ constant = "x" }}\n'
    assert events(mapping, f"t\n{cell}\n")[0]["timestamp"] == expected


@pytest.mark.parametrize(
    ("time", "cell", "reason"),
    [
        (
            "",
            "2023-11-16 18:17:03",
            'has no time zone; say in [time] which one is meant, such as zone = "UTC"',
        ),
        ('zone = "UTC"', "yesterday", "is no date and time such as 2026-01-31 12:00:00.25"),
        ('unit = "s"', "60", "is before 2000 or after 9999; check unit and start in [time]"),
        ('unit = "s"', "1700000000000", "is before 2000 or after 9999; check unit and start in [time]"),
        ('unit = "s"', "x", "is text of 1 character; must be a number"),
        ('unit = "s"', "", "is absent; every event needs a time"),
    ],
)
def test_a_time_that_cannot_be_read_makes_a_bad_row(time, cell, reason):
    mapping = f'[time]\ncolumn = "t"\n{time}\n[fields]\nservice = {{ constant = "x" }}\n'
    (row,) = rows(mapping, f"t,c\n{cell},\n")
    assert (row.field, row.reason) == ("time", reason)


def test_the_event_time_is_the_end_where_begin_and_duration_are_told():
    mapping = (
        '[time]\ncolumn = "t"\nunit = "s"\nplus = { column = "d", unit = "s" }\n'
        '[fields]\nservice = { constant = "x" }\n'
    )
    first, second = events(mapping, "t,d\n1700000000,1.5\n1700000000,\n")
    assert first["timestamp"] == "2023-11-14T22:13:21.500000Z"
    assert second["timestamp"] == "2023-11-14T22:13:20.000000Z"


def test_groups_without_a_time_of_their_own_begin_one_after_the_other():
    mapping = (
        '[time]\ncolumn = "t"\nunit = "s"\nstart = "2026-01-01"\nstagger = { column = "c", step_s = 60 }\n'
        '[fields]\nservice = { constant = "x" }\n'
    )
    found = events(mapping, "t,c\n0,a\n5,a\n0,b\n1,a\n0,c\n")
    assert [event["timestamp"][11:19] for event in found] == [
        "00:00:00",
        "00:00:05",
        "00:01:00",
        "00:00:01",
        "00:02:00",
    ]


def test_the_start_can_be_set():
    mapping = (
        '[time]\ncolumn = "t"\nunit = "s"\nstart = "2026-01-01"\n[fields]\nservice = { constant = "x" }\n'
    )
    assert events(mapping, "t\n5\n", start="2020-02-02")[0]["timestamp"] == "2020-02-02T00:00:05.000000Z"


def test_each_row_has_an_id_of_its_own_also_rows_that_are_alike():
    content = "t,c\n" + "1700000000,same\n" * 6
    first, second = (events(CSV, content) for _ in range(2))
    assert first == second
    assert len({event["event_id"] for event in first}) == 6


def test_the_same_rows_as_another_service_or_at_another_time_are_other_events():
    content = "t\n1700000000\n"
    ids = [
        events(CSV, content, **settings)[0]["event_id"]
        for settings in (
            {},
            {"overrides": {"service": "y"}},
            {"shift_us": 1_000_000},
            {"shift_us": 2_000_000},
        )
    ]
    assert len(set(ids)) == 4


def test_ids_of_the_trace_itself_can_be_used_and_change_only_with_the_time():
    mapping = CSV + 'event_id = "c"\n'
    content = "t,c\n1700000000,own\n1700000000,\n"
    first, second = events(mapping, content)
    assert first["event_id"] == "own"
    assert len(second["event_id"]) == 36
    assert events(mapping, content, overrides={"service": "y"})[0]["event_id"] == "own"
    shifted = [events(mapping, content, shift_us=shift)[0]["event_id"] for shift in (1_000_000, 2_000_000)]
    assert "own" not in shifted
    assert shifted[0] != shifted[1]


def test_a_column_that_the_file_does_not_have_is_an_error_before_any_row():
    with pytest.raises(
        MappingError,
        match=r"test, line 6: input_tokens: the file has no column 'tokns'; did you mean 'tokens'",
    ):
        rows(CSV + 'input_tokens = "tokns"\n', "t,tokens\n1700000000,1\n")


def test_a_missing_column_is_told_with_the_file_of_the_mapping_and_not_its_name():
    with pytest.raises(MappingError, match=r"test, line 7: input_tokens: the file has no column"):
        rows('name = "my-gateway"\n' + CSV + 'input_tokens = "tokns"\n', "t,tokens\n1700000000,1\n")


def test_a_column_that_is_there_twice_is_an_error():
    with pytest.raises(MappingError, match="several columns 'c'"):
        rows(CSV + 'feature = "c"\n', "t,c,c\n")


def test_a_row_with_too_few_cells_is_bad_and_the_next_one_is_not():
    first, second = rows(CSV, "t,c\n1700000000\n1700000000,1\n")
    assert (first.line, first.reason) == (2, "has 1 cells; the header has 2")
    assert isinstance(second, MappedRow)


def test_cells_may_be_quoted_and_hold_line_ends():
    mapping = CSV + 'feature = "c"\n'
    found = rows(mapping, 't,c\n1700000000,"a,b"\n1700000000,"two\nlines"\n')
    assert [row.event["feature"] for row in found] == ["a,b", "two\nlines"]
    assert [row.line for row in found] == [2, 4]


def test_a_file_without_a_header_takes_its_names_from_the_mapping_and_another_delimiter():
    mapping = 'header = ["t", "c"]\ndelimiter = ";"\n' + CSV + 'feature = "c"\n'
    assert [event["feature"] for event in events(mapping, "1700000000;a\n1700000000;b\n")] == ["a", "b"]


def test_an_empty_csv_file_is_an_error_and_an_empty_json_file_is_not():
    with pytest.raises(InputError, match="is empty; a CSV file begins with a line of column names"):
        rows(CSV, "")
    assert rows(JSON, "") == []


def test_broken_quoting_and_encoding_end_with_the_line():
    with pytest.raises(InputError, match="line 2: is no CSV"):
        rows(CSV, 't,c\n1700000000,"open')
    with pytest.raises(InputError, match="is not UTF-8"):
        list(map_rows(io.BytesIO(b"t,c\n1700000000,\xff\n"), parse_mapping(CSV, "test"), RowSettings()))


def test_json_that_is_no_object_makes_a_bad_row():
    first, second = rows(JSON, '[1]\n{"t":\n')
    assert first.reason == "is no JSON object"
    assert "is not JSON" in second.reason


def test_a_service_must_come_from_somewhere():
    mapping = '[time]\ncolumn = "t"\nunit = "s"\n[fields]\nservice = "c"\n'
    (row,) = rows(mapping, "t,c\n1700000000,\n")
    assert str(row) == "line 2: service: is absent, and every event needs it"
