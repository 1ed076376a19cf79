"""Every decoder must accept what the reference path accepts, with the same values, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.decoding import DECODERS, assert_same
from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.part import PART_TYPES
from tokentide.stream.decode.decoder import decode_by_reference

AWKWARD_NUMBERS = st.sampled_from(
    [
        0,
        -0.0,
        -1,
        1.0,
        1.5,
        1e5,
        10**10,
        10**10 + 1,
        2**63,
        10**30,
        1e308,
        float("nan"),
        float("inf"),
        0.1,
        1e-13,
    ]
)
WRITTEN: Final = "\ue000"
"""Text that begins so stands for JSON that Python's encoder never writes; other languages' do."""
NEGATIVE_ZEROS = st.sampled_from([-0.0, f"{WRITTEN}-0"])
COUNTS_AS_WRITTEN = st.sampled_from(
    [
        f"{WRITTEN}{text}"
        for text in ("-0", "-0.0", "10.0", "1e3", "1E+2", "0.1e2", "10.5", "1e10", "100000000e-2")
    ]
)
AWKWARD_TEXTS = st.sampled_from(
    ["", "a", "x" * 200, "x" * 201, "é" * 150, "é" * 201, "\u0000", "\n", "}{", "},\n{", "2026-01-01"]
)
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | AWKWARD_NUMBERS
    | st.integers()
    | st.floats()
    | AWKWARD_TEXTS
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TIMESTAMPS = st.one_of(
    st.sampled_from(
        [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.123Z",
            "2026-01-31 12:00:00.123456+02:00",
            "2026-01-31T12:00:00.1234567Z",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00+0200",
            "2026-01-31T12:00:00+02",
            "2026-02-30T12:00:00Z",
            "2026-01-31t12:00:00z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:60Z",
            "",
            "now",
            1769860800,
            1769860800.25,
            1769860800123,
            -1,
            1e14,
        ]
    ),
    st.datetimes(timezones=st.just(None)).map(lambda moment: moment.isoformat() + "Z"),
    st.floats(min_value=0, max_value=2e14),
    st.integers(0, 2 * 10**14),
)


def values_of(column: Column) -> st.SearchStrategy[Any]:
    usual: dict[str, st.SearchStrategy[Any]] = {
        "text": st.sampled_from(column.choices or ("a", "b", "")),
        "id": st.text(min_size=1, max_size=12),
        "count": st.integers(0, 2000) | COUNTS_AS_WRITTEN,
        "ms": st.floats(0, 1e6) | st.integers(0, 10**6) | NEGATIVE_ZEROS,
        "fraction": st.floats(0, 1) | NEGATIVE_ZEROS,
        "number": st.floats(allow_nan=False, allow_infinity=False) | NEGATIVE_ZEROS,
        "money": st.floats(0, 2000)
        | st.decimals(0, 10, places=14).map(str)
        | st.sampled_from([0.1, 1e-12, 5e-13, 12]),
        "flag": st.booleans(),
        "timestamp": TIMESTAMPS,
        "texts": st.lists(st.text(max_size=4), max_size=3),
        "labels": st.dictionaries(
            st.sampled_from(["team", "k" * 65, "", "2026-01-01"]), st.text(max_size=4) | st.none()
        ),
        "content": st.text(max_size=20) | st.just([{"role": "user", "content": "hi"}]),
    }
    return usual[column.kind]


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_id": draw(st.text(min_size=1, max_size=6)),
        "timestamp": "2026-01-31T12:00:00Z",
        "service": "s",
    }
    for column in draw(st.lists(st.sampled_from(call_columns()), max_size=8)):
        node = event
        for part in column.path[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                break
        else:
            rare = draw(st.integers(0, 9)) == 0
            node[column.path[-1]] = draw(ANY_JSON if rare else values_of(column))
    if draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from(["event_type", "schema_version", "extra", "error", "labels", "stages"]))
        event[name] = draw(ANY_JSON | st.sampled_from(["call", "request", 1, 2]))
    if draw(st.integers(0, 5)) == 0:
        event["event_type"] = draw(st.sampled_from([*sorted(PART_TYPES), "evaluation"]))
        event["request_id"] = draw(st.sampled_from(["r", "", 1]))
        event["quality"] = draw(st.sampled_from([{"score": 0.5}, {"label": "good"}, {}, None]))
    if draw(st.integers(0, 20)) == 0:
        event.pop(draw(st.sampled_from(["event_id", "timestamp", "service"])), None)
    return event


NO_UTF8 = (b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
"""A continuation alone, no such byte, overlong, half a surrogate, beyond the last character, cut."""


def encode(value: Any, *, compact: bool, indent: int | None = None) -> bytes:
    separators = (",", ":") if compact else None
    text = json.dumps(value, separators=separators, ensure_ascii=compact, indent=indent)
    text = re.sub(r'"(?:\\ue000|\ue000)([^"]*)"', r"\1", text)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def objects(draw: st.DrawFn, *, compact: bool) -> bytes:
    """An event as JSON, now and then with a key given twice or over several lines."""
    event = draw(events())
    text = encode(event, compact=compact, indent=draw(st.sampled_from([None] * 5 + [1])))
    if draw(st.integers(0, 5)) == 0:
        name, value = draw(st.sampled_from([*event, "x", "labels"])), draw(ANY_JSON)
        again = encode({name: value}, compact=compact)
        text = again[:-1] + b"," + text[1:] if draw(st.booleans()) else text[:-1] + b"," + again[1:]
    return text


@st.composite
def records(draw: st.DrawFn) -> bytes | None:
    kind = draw(st.integers(0, 9))
    compact = draw(st.booleans())
    if kind == 0:
        return draw(
            st.sampled_from(
                [
                    None,
                    b"",
                    b"{}",
                    b"[]",
                    b"null",
                    b"5",
                    b"{",
                    b"}",
                    b"\xff",
                    b'{"a":1}{"a":2}',
                    b"{}\nnull\n{}",
                    b"{} null {}",
                    b"\xef\xbb\xbf{}",
                    b'{"event_id":"\\ud800"}',
                    b"[{}\n{}]",
                    b"[{},\n]",
                    b" \n",
                    b"[[]]",
                    b'{"a":[{},\n{}]}',
                    b'{"x":' + b"[" * 70 + b"]" * 70 + b"}",
                    b'{"x":' + b"[" * 63 + b"]" * 63 + b"}",
                    b'{"x":' + b"[" * 62 + b"]" * 62 + b"}",
                    b'{"x":' + b"[" * 30000 + b"]" * 30000 + b"}",
                ]
            )
        ) or draw(st.binary(max_size=20))
    if kind == 1:
        text = draw(objects(compact=compact))
        cut = draw(st.integers(0, len(text)))
        return (
            text[:cut]
            + draw(st.sampled_from([b"", b"x", b"\n", b"}", b"\x00", *NO_UTF8]))
            + text[cut + draw(st.integers(0, 2)) :]
        )
    if kind in {2, 3, 4}:
        lines = draw(st.lists(objects(compact=compact), min_size=1, max_size=4))
        if draw(st.integers(0, 3)) == 0:
            odd = draw(
                st.sampled_from(
                    [b"", b" ", b"\r", b"\xe3\x80\x80", b"null", b"[]", b"not json", b"{", b'{"event_id":']
                )
            )
            lines.insert(draw(st.integers(0, len(lines))), odd)
        between = draw(st.sampled_from([b",\n", b"\n", b",", b", ", b" ,\r\n", b"\r\n", b" "]))
        joined = between.join(lines)
        return (b"[" + joined + b"]" if b"," in between else joined) + draw(
            st.sampled_from([b"", b"\n", b" "])
        )
    return draw(objects(compact=compact))


@pytest.mark.parametrize("name", DECODERS)
@given(st.lists(records(), max_size=12))
@settings(max_examples=200)
def test_both_paths_decode_any_records_the_same(name: str, batch: list[bytes | None]) -> None:
    assert_same(DECODERS[name]()(batch), decode_by_reference(batch))


@pytest.mark.parametrize("name", DECODERS)
@given(st.lists(events(), min_size=40, max_size=90), st.data())
@settings(max_examples=40)
def test_one_bad_record_among_many_good_ones_changes_only_itself(
    name: str, some: list[dict[str, Any]], data: st.DataObject
) -> None:
    values: list[bytes | None] = [encode(event, compact=True) for event in some]
    place = data.draw(st.integers(0, len(values)))
    values.insert(place, data.draw(records()))
    assert_same(DECODERS[name]()(values), decode_by_reference(values))


@pytest.mark.parametrize("written", ["-0", "-0.0", "-0e5", "-1e-400"])
@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("name", DECODERS)
def test_zero_has_no_sign(name: str, written: str, rows: int) -> None:
    event = {
        "event_id": "a",
        "timestamp": 1769860800,
        "service": "s",
        "duration_ms": "x",
        "quality": {"score": "x"},
        "retrieval": {"top_score": "x"},
    }
    other = {**event, "duration_ms": None, "quality": {"score": 0.5}, "retrieval": {"top_score": -1.5}}
    line = encode(event, compact=True).replace(b'"x"', written.encode())
    values: list[bytes | None] = [line, encode(other, compact=True)] * rows
    fast = DECODERS[name]()(values)
    assert_same(fast, decode_by_reference(values))
    found = [
        fast.table[column].to_pylist()[:2]
        for column in ("duration_ms", "quality_score", "retrieval_top_score")
    ]
    assert str(found) == "[[0.0, None], [0.0, 0.5], [0.0, -1.5]]"


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_with_a_past_decodes_as_a_new_one(name: str) -> None:
    base = {"event_id": "a", "timestamp": "2026-01-31T12:00:00Z", "service": "s"}
    numeric = {**base, "timestamp": 1769860800, "labels": {"a": "b"}, "error": {"type": "X"}}
    decode = DECODERS[name]()
    for events_ in ([base], [numeric], [base, numeric], [numeric, base]):
        batch: list[bytes | None] = [encode(event, compact=True) for event in events_]
        assert_same(decode(batch), decode_by_reference(batch))


@pytest.mark.parametrize("brackets", [1_000, 15_000, 200_000])
@pytest.mark.parametrize("where", ["x", "labels", "input", "timestamp"])
@pytest.mark.parametrize("name", DECODERS)
def test_deep_nesting_is_refused_and_does_not_take_the_process_down(
    name: str, where: str, brackets: int
) -> None:
    deep = b'{"%s":' % where.encode() + b"[" * brackets + b"]" * brackets + b"}"
    good = encode({"event_id": "a", "timestamp": 1769860800, "service": "s"}, compact=True)
    decoded = DECODERS[name]()([good, deep, good])
    assert [refusal.record for refusal in decoded.refusals] == [1]
    assert pa.compute.sum(pa.compute.is_valid(decoded.table["event_id"])).as_py() == 2
