"""Reading lines and JSON: compressed, endless, broken, too long."""

from __future__ import annotations

import gzip
import io
import os
import threading
import time

import pytest

from tokentide.producers.json_input import parse_json, read_json
from tokentide.producers.lines import Input
from tokentide.producers.traffic_errors import InputError


def items(content: bytes, limit: int = 1_000, **limits: int) -> list:
    with Input(io.BytesIO(content)) as source:
        return list(read_json(source, limit, **limits))


def test_lines_lose_their_ends_and_the_first_its_byte_order_mark():
    with Input(io.BytesIO(b"\xef\xbb\xbfone\r\ntwo\n\nfour")) as source:
        assert [line.content for line in source.lines()] == [b"one", b"two", b"", b"four"]


def test_gzip_is_recognised_by_its_content_not_its_name(tmp_path):
    path = tmp_path / "plain.txt"
    path.write_bytes(gzip.compress(b"one\ntwo\n"))
    with Input(path) as source:
        assert [line.content for line in source.lines()] == [b"one", b"two"]
        assert source.fraction_read() == 1.0


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:40] + b"\x00" * 20 + data[60:]]
)
def test_a_damaged_gzip_file_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "trace.gz"
    path.write_bytes(damage(gzip.compress(os.urandom(500))))
    with Input(path) as source, pytest.raises(InputError, match=r"trace\.gz is no whole gzip file"):
        list(source.lines())


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json cannot be opened: No such file"):
        Input(tmp_path / "nothing.json")


def test_a_line_over_the_limit_is_cut_and_the_next_one_is_whole():
    with Input(io.BytesIO(b"x" * 3_000_000 + b"\nshort\n")) as source:
        first, second = source.lines(limit_bytes=100)
    assert (len(first.content), first.is_cut) == (100, True)
    assert second == (2, b"short", False)


def test_a_line_of_just_the_limit_is_whole():
    for end in (b"", b"\n", b"\r\n"):
        with Input(io.BytesIO(b"x" * 100 + end)) as source:
            assert [(len(line.content), line.is_cut) for line in source.lines(100)] == [(100, False)]


def test_an_idle_pipe_says_so_and_goes_on():
    reader, writer = os.pipe()
    idle: list[float] = []

    def write_slowly() -> None:
        os.write(writer, b"one\n")
        while not idle:
            time.sleep(0.01)
        os.write(writer, b"two\n")
        os.close(writer)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    with os.fdopen(reader, "rb") as pipe, Input(pipe, on_idle=lambda: idle.append(1)) as source:
        assert [line.content for line in source.lines()] == [b"one", b"two"]
    thread.join()
    assert idle


def test_each_line_is_an_item_with_its_number_and_empty_lines_are_none():
    found = items(b'{"a":1}\n\n  \n{"a": 2}\n')
    assert [(item.number, item.value, item.problem) for item in found] == [
        (1, {"a": 1}, None),
        (4, {"a": 2}, None),
    ]
    assert found[1].raw == b'{"a": 2}'


def test_a_line_with_an_array_stands_for_its_items():
    found = items(b'[{"a":1},{"a":2}]\n{"a":3}\n')
    assert [item.value for item in found] == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert found[1].raw == b'{"a":2}'


@pytest.mark.parametrize(
    "content",
    [
        b'[\n  {"a": 1},\n  {"a": 2}\n]\n',
        b'[{"a": 1},\n{"a": 2}]',
        b'[{"a": 1}\n,{"a": 2}\n]',
    ],
)
def test_an_array_over_many_lines_is_one_document(content):
    assert [item.value for item in items(content)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    "content",
    [
        b'{\n "a": 1,\n "b": [{"c": 2}]\n}\n',
        b'{ "a": 1,\n  "b": [{"c": 2}] }\n',
        b'\n{"a": 1,\n\n "b": [{"c": 2}]}',
        b'{"a": 1\n,"b": [{"c": 2}]\n}',
        b'{"b": [\n{"c": 2}\n], "a": 1}',
        b'{"a":\n1,\n"b": [{"c": 2}]}',
        b'\xef\xbb\xbf{\r\n\t"a": 1,\r\n\t"b": [\r\n\t\t{"c": 2}\r\n\t]\r\n}\r\n',
    ],
)
def test_an_object_over_many_lines_is_one_document(content):
    assert [(item.value, item.problem) for item in items(content)] == [({"a": 1, "b": [{"c": 2}]}, None)]


@pytest.mark.parametrize("content", [b'[{"a": 1}, {"a": 2}]', b'[\n{"a": 1},\n{"a": 2}\n]'])
def test_a_document_may_be_longer_than_an_item_but_not_than_memory_allows(content):
    size = len(content)
    assert [item.value for item in items(content, 10, document_limit_bytes=size)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(InputError, match=r"one JSON document of more than \d+ bytes.*one event a line"):
        items(content, 10, document_limit_bytes=size - 1 if b"\n" in content else size - 2)


def test_only_an_array_on_the_first_line_may_be_longer_than_an_item():
    first, *rest = items(b'{"a":"' + b"x" * 50 + b'"}\n{"a":1}\n' + b"[1,2,3]" * 9, 20)
    assert (first.is_too_long, len(first.raw)) == (True, 20)
    assert [(item.number, item.value, item.is_too_long) for item in rest] == [
        (2, {"a": 1}, False),
        (3, None, True),
    ]


def test_a_document_that_does_not_parse_is_one_problem_with_its_place():
    (item,) = items(b'[\n{"a": 1},\n{"a": }\n]')
    assert (
        item.problem
        == "is one document over many lines, and is not JSON at line 3, character 7: Expecting value"
    )


def test_documents_over_many_lines_one_after_the_other_are_a_problem_with_its_remedy():
    (item,) = items(b'{\n "a": 1\n}\n{\n "a": 2\n}\n')
    assert item.problem == (
        "is one document over many lines, and is not JSON at line 4, character 1: Extra data; "
        "of several documents each goes on a line of its own, as `jq -c .` writes them"
    )


def test_a_broken_line_is_a_problem_and_the_others_stay():
    found = items(b'{"a":1}\n{"a":\n{"a":3}\n')
    assert [item.value for item in found] == [{"a": 1}, None, {"a": 3}]
    assert found[1].problem == "is not JSON at character 6: Expecting value"


@pytest.mark.parametrize(
    "broken", [b'{"a":', b'{"a": 1', b'{"a": 1,', b'{"a": "x', b'{"a": }', b"[1, {", b"x"]
)
def test_a_broken_first_line_does_not_swallow_the_file(broken):
    found = items(broken + b'\n{"a":2}\n{"a":3}\n')
    assert [(item.number, item.value) for item in found] == [(1, None), (2, {"a": 2}), (3, {"a": 3})]


def test_a_broken_line_alone_is_a_problem_of_its_own():
    (item,) = items(b'{"a": 1,\n')
    assert item.problem == "is not JSON at character 9: Expecting property name enclosed in double quotes"


def test_places_in_a_document_count_from_the_begin_of_the_file():
    (item,) = items(b'\n\n{"a": 1,\n\n"b": 2,\n"c": }')
    assert (
        item.problem
        == "is one document over many lines, and is not JSON at line 6, character 6: Expecting value"
    )


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"a": NaN}', "is not JSON: NaN is no number of JSON; leave the field out if unknown"),
        (b'{"a": -Infinity}', "is not JSON: -Infinity is no number of JSON; leave the field out if unknown"),
        (b'{"a": "\xff"}', "is not UTF-8 at byte 8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": 1} {"a": 2}', "is not JSON at character 10: Extra data"),
    ],
)
def test_what_python_would_take_but_json_does_not_is_a_problem(raw, problem):
    assert parse_json(raw) == (None, problem)


def test_a_problem_does_not_repeat_what_is_in_the_line():
    secret = "my-secret-prompt"
    for raw in (f'{{"a": {secret}}}', f'{{"{secret}": "', f"{secret}\udcff"):
        _, problem = parse_json(raw.encode("utf-8", "surrogateescape"))
        assert problem
        assert secret not in problem


def test_an_item_over_the_limit_is_too_long_alone_and_in_an_array():
    alone, *rest = items(b'{"a":"' + b"x" * 2_000 + b'"}\n{"a":1}\n')
    assert alone.is_too_long
    assert [item.value for item in rest] == [{"a": 1}]
    # Fits as it stands, but not with its characters escaped as it is written anew.
    (inside,) = items(b'["' + b"x" * 985 + b'\xc3\xa9\xc3\xa9\xc3\xa9"]')
    assert inside.is_too_long
    assert inside.problem == "is longer than 1,000 bytes, the limit of a record"
