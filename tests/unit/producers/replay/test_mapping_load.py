"""Reading mapping files: what is said of a wrong one, and that everything wrong is said at once."""

from __future__ import annotations

import pytest

from tokentide.producers.replay.load import known_mappings, load_mapping, parse_mapping
from tokentide.producers.traffic_errors import MappingError

GOOD = """
[time]
column = "when"
zone = "UTC"

[fields]
service = { constant = "chat" }
"""


def problems(text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "my.toml")
    return [tuple(problem) for problem in caught.value.problems]


def test_the_shortest_mapping_is_a_time_and_a_service():
    mapping = parse_mapping(GOOD, "my.toml")
    assert mapping.name == "my"
    assert mapping.format == "csv"
    assert [field.column.name for field in mapping.fields] == ["service"]


def test_the_public_traces_are_known_by_name():
    assert [mapping.name for mapping in known_mappings()] == [
        "alibaba-gentd26",
        "azure-llm-2023",
        "burstgpt",
        "claude-code",
        "mooncake",
        "otel-spans",
        "ragpulse",
    ]
    assert all(mapping.description for mapping in known_mappings())


def test_a_mapping_file_is_found_by_its_path(tmp_path):
    path = tmp_path / "burstgpt"
    path.write_text(GOOD)
    assert load_mapping(str(path)).fields[0].column.name == "service"


def test_a_name_that_is_neither_a_trace_nor_a_file_gets_a_suggestion():
    with pytest.raises(
        MappingError, match="burst-gpt: is neither a known trace nor a mapping file; did you mean 'burstgpt'"
    ):
        load_mapping("burst-gpt")


def test_a_folder_and_a_binary_file_are_refused(tmp_path):
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(str(tmp_path))
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(MappingError, match="is not UTF-8 at byte 1"):
        load_mapping(str(tmp_path / "x.toml"))


def test_what_is_not_toml_is_refused_with_its_place():
    with pytest.raises(MappingError, match=r"my\.toml: is not TOML: .*line 1"):
        parse_mapping("a = \n", "my.toml")


def test_every_problem_is_told_at_once_each_with_its_line():
    found = problems(
        """
formt = "csv"
[time]
colum = "t"
[fields]
service = { constnt = "x" }
input_token = "n"
output_tokens = { column = "m", unit = "s" }
status = { constant = "fine" }
"""
    )
    assert found == [
        (2, "formt", "unknown key; did you mean 'format'?"),
        (4, "time.colum", "unknown key; did you mean 'column'?"),
        (6, "fields.service.constnt", "unknown key; did you mean 'constant'?"),
        (7, "fields.input_token", "the event has no field 'input_token'; did you mean 'input_tokens'?"),
        (
            8,
            "fields.output_tokens.unit",
            "is only for durations, fields that end in `_ms`; use `scale` for other numbers",
        ),
        (9, "fields.status", "a constant of it is text of 4 characters; must be one of ok, error, cancelled"),
    ]


def test_the_message_names_file_line_and_key():
    with pytest.raises(MappingError) as caught:
        parse_mapping(GOOD + "turn = { constant = 0 }\n", "my.toml")
    assert (
        str(caught.value)
        == "my.toml, line 8: fields.turn: a constant of it is the number 0; must be 1 … 10000000000"
    )


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("3", "must be the name of a column, or a table such as { column = … }"),
        ("{ }", "needs a source: one of column, path, first, constant, option, when, function"),
        ('{ column = "a", constant = 1 }', "has two sources, 'column' and 'constant'; keep one"),
        ('{ column = "" }', "must be the name of a column, or the list of names that leads to it"),
        ('{ column = "a", scale = "2" }', "must be a number"),
        ('{ column = "a", scale = inf }', "must be a number"),
        ('{ column = "a", unlisted = "keep" }', "is only for a `lookup`"),
        ('{ column = "a", lookup = { b = 1 }, unlisted = "drop" }', "must be one of refuse, keep, absent"),
        ('{ column = "a", lookup = { b = [1] } }', "must be a text, a number, true or false"),
        ("{ first = [] }", "must be a list of columns or expressions"),
        ("{ when = [] }", "must be a list of cases such as { column = …, is = …, then = … }"),
        ('{ when = [{ column = "a", is = 1 }] }', "has no `then`"),
        (
            '{ when = [{ column = "a", then = 1 }] }',
            "tests nothing: add one of is, is_not, in, above, below, missing",
        ),
        ("{ when = [{ is = 1, then = 1 }] }", "names no column"),
        ('{ when = [{ column = "a", iss = 1, then = 1 }] }', "unknown key; did you mean 'is'?"),
        ('{ when = [{ column = "a", missing = 1, then = 1 }] }', "must be true or false"),
        ('{ when = [{ column = "a", above = "x", then = 1 }] }', "must be a number"),
        ('{ function = "ordinal" }', "no function 'ordinal'; did you mean 'ordinal_in'?"),
        ('{ function = "ordinal_in" }', "function 'ordinal_in' needs 'group', a column"),
        ('{ function = "ordinal_in", group = "a", step = 2 }', "unknown key; there are function, group"),
        (
            '{ function = "leading_known_tokens", ids = "a", at_most = "b", block_tokens = 0 }',
            "must be a whole number, 1 or more",
        ),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused(expression, text):
    found = problems(GOOD + f"turn = {expression}\n")
    assert [(line, problem) for line, _, problem in found] == [(8, text)]


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (
            '[time]\ncolumn = "t"\nzone = "Mars"',
            "is no time zone that this system knows; give UTC or an offset such as +08:00",
        ),
        ('[time]\ncolumn = "t"\nunit = "minutes"', "must be one of text, s, ms, us, ns"),
        (
            '[time]\ncolumn = "t"\nstart = "2026-01-01"',
            'is for numbers that count from it; set a unit, such as unit = "s"',
        ),
        (
            '[time]\ncolumn = "t"\nunit = "s"\nstart = "soon"',
            "is no date or time such as 2026-01-31 or 2026-01-31T12:00:00+01:00",
        ),
        ('[time]\ncolumn = "t"\nunit = "s"\nstagger = { column = "s" }', "must be a number"),
        ('[time]\ncolumn = "t"\nunit = "s"\nstagger = { column = "s", step_s = -1 }', "must be 0 or more"),
        (
            '[time]\nunit = "s"',
            "needs a source: one of column, path, first, constant, option, when, function",
        ),
        ("", "has no [time]: say which column tells when a call finished"),
    ],
)
def test_a_time_that_cannot_be_told_is_refused(section, text):
    found = problems(section + '\n[fields]\nservice = "s"\n')
    assert [problem for _, _, problem in found] == [text]


def test_a_mapping_needs_fields():
    assert problems('[time]\ncolumn = "t"\n')[0][2] == "has no [fields]"


def test_the_time_is_not_a_field():
    assert problems(GOOD + 'timestamp = "t"\n')[0][2] == "is told by [time], not here"


def test_an_option_must_be_declared_and_a_general_one_must_not():
    assert problems(GOOD + 'request_model = { option = "model" }\n') == [
        (6, "fields", "option 'model' is used but not declared in [options.model]")
    ]
    assert (
        problems(GOOD + '[options.service]\nhelp = "x"\n')[0][2]
        == "can be given for every trace; leave it out"
    )
    assert problems(GOOD + "[options.model]\n")[0][1:] == ("options.model.help", "must be a text")


def test_constants_in_cases_and_tables_are_checked_before_any_row():
    text = GOOD + 'status = { when = [{ column = "a", is = 1, then = "failed" }], otherwise = "ok" }\n'
    assert "must be one of ok, error, cancelled" in problems(text)[0][2]
    text = GOOD + 'status = { column = "a", lookup = { x = "failed" } }\n'
    assert "must be one of ok, error, cancelled" in problems(text)[0][2]


def test_labels_are_limited_as_in_the_contract():
    many = "".join(f'l{n} = "c"\n' for n in range(17))
    assert problems(GOOD + "[fields.labels]\n" + many)[0][2] == "must be at most 16"
    assert (
        problems(GOOD + f'[fields.labels]\n{"k" * 65} = "c"\n')[0][2] == "the key must be 1 … 64 characters"
    )


def test_fields_of_a_group_are_written_as_in_the_event():
    mapping = parse_mapping(GOOD + 'error.class = { constant = "timeout" }\nstages.model_ms = "m"\n', "x")
    assert [field.column.path for field in mapping.fields] == [
        ("service",),
        ("error", "class"),
        ("stages", "model_ms"),
    ]
    assert (
        problems(GOOD + 'error.clas = "x"\n')[0][2]
        == "the event has no field 'error.clas'; did you mean 'error.class'?"
    )


def test_a_mapping_knows_its_file_beside_its_name(tmp_path):
    file = tmp_path / "of-mine.toml"
    file.write_text('name = "my-gateway"\n' + GOOD, encoding="utf-8")
    mapping = load_mapping(str(file))
    assert (mapping.name, mapping.file) == ("my-gateway", "of-mine.toml")
