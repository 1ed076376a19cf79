from __future__ import annotations

import tomllib

import pytest

from tokentide.producers.replay.toml_lines import key_lines, line_of

DOCUMENT = (
    """# a comment = not a key
name = "x"  # another = one

[time]
column = "a.b"
"quoted key" = 'it"""
    '''s'

[fields]
text = """
not = a key
[not a table]
"""
raw = \'\'\'
nor = this
\'\'\'
status = { when = [
    { column = "x", is = 0, then = "error" },   # first
    { column = "y", in = [1, 2], then = "ok" },
], otherwise = "ok" }
error.type = "t"

[fields.labels]
a = 1979-05-27 07:32:00
list = [
  "one", # with ] in a comment
  "two",
]

[[incident]]
kind = "a"
[[incident]]
kind = "b"
'''
)


def test_every_key_is_found_on_its_line():
    tomllib.loads(DOCUMENT)
    found = key_lines(DOCUMENT)
    expected = {
        ("name",): 2,
        ("time",): 4,
        ("time", "column"): 5,
        ("time", "quoted key"): 6,
        ("fields", "text"): 9,
        ("fields", "raw"): 13,
        ("fields", "status"): 16,
        ("fields", "status", "when", 0): 17,
        ("fields", "status", "when", 0, "then"): 17,
        ("fields", "status", "when", 1, "in"): 18,
        ("fields", "status", "when", 1, "in", 1): 18,
        ("fields", "status", "otherwise"): 19,
        ("fields", "error", "type"): 20,
        ("fields", "labels"): 22,
        ("fields", "labels", "a"): 23,
        ("fields", "labels", "list", 1): 26,
        ("incident", 0, "kind"): 30,
        ("incident", 1, "kind"): 32,
    }
    assert {path: found.get(path) for path in expected} == expected


def test_nothing_inside_texts_or_comments_is_taken_for_a_key():
    found = key_lines(DOCUMENT)
    assert ("fields", "not") not in found
    assert ("fields", "nor") not in found
    assert not any("comment" in str(part) for path in found for part in path)


def test_a_path_without_a_line_has_that_of_what_is_around_it():
    found = key_lines(DOCUMENT)
    assert line_of(("fields", "status", "when", 1, "missing"), found) == 18
    assert line_of(("time", "zone"), found) == 4
    assert line_of(("nowhere",), found) is None


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only", "a=1", "a.b.c = 1", 'a = "\\""\nb = 2', "a = []\nb = {}"]
)
def test_small_documents_end(text):
    tomllib.loads(text)
    key_lines(text)


def test_escaped_quotes_do_not_end_a_text():
    assert key_lines('a = "\\" b = 1"\nc = 2') == {("a",): 1, ("c",): 2}
