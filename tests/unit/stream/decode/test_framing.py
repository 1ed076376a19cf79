from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.schemas.limits import MAX_ITEMS_PER_RECORD, MAX_RECORD_BYTES
from tokentide.stream.decode.framing import DEEP_BRACKETS, DEEP_BYTES, Framed, frame

A, B = b'{"a":1}', b'{"b":{"c":[2,{}]}}'


def lines_of(framed: Framed) -> list[bytes]:
    ends = [*(framed.starts[1:] - 1).tolist(), len(framed.buffer)][: len(framed.starts)]
    return [bytes(framed.buffer[begin:end]) for begin, end in zip(framed.starts.tolist(), ends, strict=True)]


def framed(*values: bytes | None) -> tuple[list[tuple[int, int, Any]], list[int]]:
    """Record, item and parsed line of each line; and the records left to the reference path."""
    found = frame(values)
    lines = zip(found.record.tolist(), found.item.tolist(), lines_of(found), strict=True)
    return [(record, item, json.loads(line)) for record, item, line in lines], list(found.irregular)


@pytest.mark.parametrize(
    "value",
    [
        b"[" + A + b",\n" + B + b"]",  # as the SDK packs
        A + b"\n" + B,
        A + b"\n" + B + b"\n",
        b"\n" + A + b"\n" + B + b"\n\n",
        b" \t[" + A + b",\n" + B + b"]\r\n",
    ],
)
def test_several_events_of_one_record_are_its_items(value: bytes) -> None:
    assert framed(value) == ([(0, 0, {"a": 1}), (0, 1, {"b": {"c": [2, {}]}})], [])


@pytest.mark.parametrize("around", [b"", b" ", b"\n", b"\r\n", b"\t \n"])
def test_white_space_around_an_object_does_not_matter(around: bytes) -> None:
    assert framed(around + A + around) == ([(0, 0, {"a": 1})], [])
    assert framed(B, around + A, B, A + around) == (
        [(0, 0, {"b": {"c": [2, {}]}}), (1, 0, {"a": 1}), (2, 0, {"b": {"c": [2, {}]}}), (3, 0, {"a": 1})],
        [],
    )


def test_an_array_of_one_and_an_array_over_one_line_hold_their_objects() -> None:
    assert framed(b"[" + A + b"]") == ([(0, 0, {"a": 1})], [])


def test_forms_may_be_mixed_in_a_batch() -> None:
    lines, irregular = framed(A, b"[" + A + b",\n" + A + b"]", b"5", A + b"\n" + A, None, A)
    assert [line[:2] for line in lines] == [(0, 0), (1, 0), (1, 1), (3, 0), (3, 1), (5, 0)]
    assert irregular == [2, 4]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" \n",
        b"null",
        b"5",
        b'"text"',
        b"{",
        b"}",
        b"[",
        b"]",
        b"[]",
        b"[[]]",
        b"[5,\n6]",
        b"\xef\xbb\xbf{}",  # a byte order mark
        b"{}{}",
        b"{} {}",
        A + b"\r\n" + B,  # Windows line ends
        A + b"\n\n" + B,
        A + b"\nnull\n" + B,  # a null at the root takes Arrow's parser down
        A + b" null " + B,
        A + b"\n5",
        b"[" + A + b"\n" + B + b"]",
        b"[" + A + b" ,\n" + B + b"]",
        b"[" + A + b"]\n" + B + b"]",
        b"[" + A + b",\n" + B + b",\n]",
        b"[" + A + b",\n\n" + B + b"]",
        b"[" + A + b",\n" + B,
        A + b",\n" + B + b"]",
        b'{\n  "a": 1\n}',
        b'[\n  {"a": 1}\n]',
        b'{"a":[{},\n{}]}',
        b'{"a":"x}y"}',  # may stand so within a text; the reference path can tell
    ],
)
def test_whatever_has_another_form_is_left_to_the_reference_path_and_its_neighbours_are_not(
    value: bytes | None,
) -> None:
    assert framed(A, value, B) == ([(0, 0, {"a": 1}), (2, 0, {"b": {"c": [2, {}]}})], [1])


def test_two_objects_on_one_line_never_become_one() -> None:
    """`[{},{}]` is no form of its own; if it is framed as one line, no parser of one value a line accepts that."""
    found = frame([b"[" + A + b"," + B + b"]"])
    for line in lines_of(found):
        with pytest.raises(ValueError, match="Extra data"):
            json.loads(line)


def test_a_record_over_the_size_limit_is_left_to_the_reference_path_white_space_included() -> None:
    fits = A[:-1].ljust(MAX_RECORD_BYTES - 1) + b"}"
    assert framed(fits)[1] == []
    assert framed(A, fits[:-1] + b" }", A)[1] == [1]
    assert framed(A, A.ljust(MAX_RECORD_BYTES + 1), A)[1] == [1]


def test_too_many_items_are_left_to_the_reference_path() -> None:
    assert framed(b"\n".join([b"{}"] * MAX_ITEMS_PER_RECORD))[1] == []
    assert framed(A, b"\n".join([b"{}"] * (MAX_ITEMS_PER_RECORD + 1)), A)[1] == [1]


def test_lines_that_may_be_nested_deeply_are_left_to_the_reference_path() -> None:
    deep = b'{"a":' + b"[" * DEEP_BRACKETS + b"]" * DEEP_BRACKETS + b',"b":"' + b"x" * DEEP_BYTES + b'"}'
    flat = b'{"b":"' + b"x" * DEEP_BYTES + b'"}'
    assert framed(flat, deep, flat)[1] == [1]
    assert framed(flat, flat + b"\n" + deep, flat)[1] == [1]


def test_the_values_themselves_are_never_written_to() -> None:
    originals = [b"[" + A + b",\n" + B + b"]", A, b" " + A, A + b"\n" + B, b"x"]
    values = [bytes(bytearray(value)) for value in originals]
    frame(values)
    assert values == originals


def test_no_records_have_no_lines() -> None:
    assert framed() == ([], [])


objects = st.dictionaries(
    st.text(max_size=4), st.text(max_size=6) | st.integers() | st.none() | st.lists(st.booleans()), max_size=3
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["object", "array", "lines"]), st.lists(objects, min_size=1, max_size=3))
    )
)
def test_the_lines_are_the_objects_in_order(records: list[tuple[str, list[dict[str, Any]]]]) -> None:
    values, expected = [], []
    for place, (form, items) in enumerate(records):
        kept = items[:1] if form == "object" else items
        texts = [json.dumps(item, separators=(",", ":")).encode() for item in kept]
        values.append(b"[" + b",\n".join(texts) + b"]" if form == "array" else b"\n".join(texts))
        expected += [(place, number, item) for number, item in enumerate(kept)]
    lines, irregular = framed(*values)
    assert lines == [line for line in expected if line[0] not in irregular]
    for place in irregular:  # only for a brace within a text
        assert b"}" in values[place].replace(b"},\n{", b"").replace(b"}\n{", b"").rstrip(b"]")[:-1]


@given(st.lists(st.none() | st.binary(max_size=12) | st.text('{}[],\n "1', max_size=10).map(str.encode)))
def test_every_record_is_framed_whole_or_left_whole(values: list[bytes | None]) -> None:
    found = frame(values)
    in_lines = set(found.record.tolist())
    assert in_lines | set(found.irregular) == set(range(len(values)))
    assert in_lines & set(found.irregular) == set()
    for line in lines_of(found):
        assert line.strip(b" ")[:1] == b"{"
        assert line.strip(b" ")[-1:] == b"}"
        assert b"\n" not in line
