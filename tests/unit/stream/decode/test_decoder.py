from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.decoding import assert_same
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.limits import MAX_COUNT, MAX_DEPTH, MAX_ITEMS_PER_RECORD, MAX_RECORD_BYTES
from tokentide.schemas.part import PartEvent
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode import decoder as decoder_module
from tokentide.stream.decode.decoder import Decoder, decode_by_reference

BASE: dict[str, Any] = {"timestamp": "2026-01-31T12:00:00Z", "service": "s"}


def refuse(value: object) -> None:
    raise AssertionError(f"the reference path was asked for {value!r}")


@pytest.fixture
def no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what needs no pydantic, be it item by item."""
    for model in (CallEvent, PartEvent, EvaluationEvent):
        monkeypatch.setattr(model, "model_validate", refuse)


@pytest.fixture
def whole_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of records that are read in one go."""
    monkeypatch.setattr(decoder_module, "decode_record", lambda value, _: refuse(value))


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": name, **BASE, **fields}


def line(name: str, **fields: Any) -> bytes:
    return json.dumps(event(name, **fields), separators=(",", ":")).encode()


def pack(*items: Any) -> bytes:
    return b"[" + b",\n".join(json.dumps(item, separators=(",", ":")).encode() for item in items) + b"]"


def column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


@pytest.mark.usefixtures("whole_records")
def test_fields_that_come_late_are_found_and_nothing_of_them_is_lost() -> None:
    decoder = Decoder()
    assert decoder.decode([line("a")]).table.num_rows == 1
    decoded = decoder.decode([line("b"), line("c", turn=2), line("d", error={"class": "other"}), line("e")])
    assert column(decoded.table, "turn") == [None, 2, None, None]
    assert column(decoded.table, "error_class") == [None, None, "other", None]
    assert column(decoder.decode([line("f", turn=3, attempts=1)]).table, "attempts") == [1]


@pytest.mark.usefixtures("whole_records")
def test_all_fields_of_the_contract_may_come_at_once() -> None:
    everything = event(
        "a",
        stages={"model_ms": 1, "queue_ms": 2},
        error={"type": "T", "message": "m", "http_status": 500, "stage": "model_call", "class": "server"},
        quality={"score": 0.5},
        labels={"a": "b"},
        finish_reasons=["stop"],
        stream=True,
        cost_usd=0.25,
        timestamp=1_769_860_800,
    )
    (row,) = Decoder().decode([json.dumps(everything).encode()]).table.to_pylist()
    assert row["error_http_status"] == 500
    assert row["stages_queue_ms"] == 2.0
    assert (row["labels"], str(row["cost_usd"])) == ([("a", "b")], "0.250000000000")


@pytest.mark.usefixtures("whole_records")
def test_keys_of_labels_that_come_late_are_found() -> None:
    decoder = Decoder()
    decoder.decode([line("a", labels={"team": "x"})])
    labels = column(
        decoder.decode(
            [line("b", labels={"plan": "pro"}), line("c"), line("d", labels={"team": "y", "plan": None})]
        ).table,
        "labels",
    )
    assert labels == [[("plan", "pro")], None, [("team", "y")]]


@pytest.mark.usefixtures("whole_records")
def test_keys_of_labels_may_differ_from_event_to_event() -> None:
    values = [line(f"{n}", labels={f"k{n}": "v", "all": "w"}) for n in range(100)]
    labels = column(Decoder().decode(values).table, "labels")
    assert [dict(each) for each in labels] == [{f"k{n}": "v", "all": "w"} for n in range(len(values))]


@pytest.mark.usefixtures("whole_records")
def test_producers_of_two_forms_of_time_may_share_a_topic() -> None:
    decoder = Decoder()
    forms: list[object] = ["2026-01-31T12:00:00Z", 1_769_860_800, 1_769_860_800_000, 1_769_860_800.0]
    for round_ in range(3):
        values = [line(f"{round_}-{n}", timestamp=form) for n, form in enumerate(forms * 2)]
        decoded = decoder.decode(values)
        assert {moment.isoformat() for moment in column(decoded.table, "timestamp")} == {
            "2026-01-31T12:00:00+00:00"
        }
        assert column(decoded.table, "event_id") == [f"{round_}-{n}" for n in range(8)]


@pytest.mark.usefixtures("no_reference")
def test_unknown_fields_are_counted_by_row_and_null_ones_are_not() -> None:
    decoded = Decoder().decode(
        [
            line("a"),
            line("b", new=1),
            line("c", new=2, newer={"x": [1, 2]}, newest=None),
            line("d", error={"new": 1, "type": "T", "newer": None}),
        ]
    )
    assert decoded.unknown_fields.tolist() == [0, 1, 2, 1]


@pytest.mark.usefixtures("no_reference")
def test_unknown_fields_of_changing_type_are_counted_too() -> None:
    decoded = Decoder().decode(
        [
            line("a", new=1),
            line("b", new="text", turn=2),
            line("c", new=[{}], stages={"new": 5}),
            line("d", new=None),
        ]
    )
    assert decoded.unknown_fields.tolist() == [1, 1, 2, 0]
    assert column(decoded.table, "turn") == [None, 2, None, None]


def test_labels_survive_next_to_unknown_fields_of_changing_type() -> None:
    decoded = Decoder().decode(
        [line("a", new=1, labels={"k": "v"}), line("b", new="text", labels={"l": "w"})]
    )
    assert column(decoded.table, "labels") == [[("k", "v")], [("l", "w")]]


def test_deep_unknown_fields_are_refused_next_to_ones_of_changing_type() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    decoded = Decoder().decode(
        [line("a", new=1), line("b", new="text"), line("c", new=deep), line("d", new=deep[0])]
    )
    assert [(refusal.record, refusal.problem.reason) for refusal in decoded.refusals] == [(2, "too_large")]
    assert column(decoded.table, "event_id") == ["a", "b", "d"]


@pytest.mark.parametrize("rows_at_once", [1, 2, 5, 1_000])
def test_rows_and_refusals_are_in_the_order_of_the_log(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever path they come from, and however many columns are made at once."""
    monkeypatch.setattr(decoder_module, "ROWS_AT_ONCE", rows_at_once)
    values = [
        line("a"),
        b"broken",
        pack(event("b"), event("c", labels=dict.fromkeys("abcdefghijklmnopqr")), event("d")),  # for pydantic
        line("e", output_tokens="12"),
        None,
        line("f"),
        pack(event("g"), 5, event("h", turn=0), event("i")),
        line("j", labels={"k": 1}),
        line("k"),
    ]
    decoded = Decoder().decode(values)
    assert column(decoded.table, "event_id") == list("abcdfgik")
    assert decoded.record.tolist() == [0, 2, 2, 2, 5, 6, 6, 8]
    assert decoded.item.tolist() == [0, 0, 1, 2, 0, 0, 3, 0]
    assert [refusal[:2] for refusal in decoded.refusals] == [(1, -1), (3, 0), (4, -1), (6, 1), (6, 2), (7, 0)]
    assert decoded.items == 14


def test_unknown_fields_stay_with_their_rows_where_both_paths_were_at_work() -> None:
    values = [
        line("a", cost_usd="0.1", new=1),
        line("b"),
        pack(event("c", x=1, y=2), event("d")),
        line("e", z=[]),
    ]
    decoded = Decoder().decode(values)
    assert column(decoded.table, "event_id") == list("abcde")
    assert decoded.unknown_fields.tolist() == [1, 0, 2, 0, 1]


def test_one_bad_item_of_a_record_keeps_its_neighbours() -> None:
    decoded = Decoder().decode([pack(event("a"), event("b", status="perhaps"), event("c"))])
    assert column(decoded.table, "event_id") == ["a", "c"]
    (refusal,) = decoded.refusals
    assert (refusal.record, refusal.item) == (0, 1)
    assert json.loads(refusal.value or b"") == event("b", status="perhaps")


def test_a_bad_record_does_not_send_its_neighbours_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes | None] = []
    whole = decoder_module.decode_record
    monkeypatch.setattr(
        decoder_module, "decode_record", lambda value, taken: asked.append(value) or whole(value, taken)
    )
    values: list[bytes | None] = [line(f"{n}") for n in range(200)]
    values[77] = line("bad", turn="x")
    decoded = Decoder().decode(values)
    assert decoded.table.num_rows == 199
    assert asked == [values[77]]


@pytest.mark.usefixtures("whole_records")
def test_money_below_a_thousand_dollars_is_exact_without_the_reference_path() -> None:
    amounts = [0, 0.1, 1e-12, 0.000000000001, 12.345678901234, 999.999999999999, 5]
    costs = column(
        Decoder().decode([line(f"{n}", cost_usd=cost) for n, cost in enumerate(amounts)]).table, "cost_usd"
    )
    assert [f"{cost:f}" for cost in costs] == [
        "0.000000000000",
        "0.100000000000",
        "0.000000000001",
        "0.000000000001",
        "12.345678901234",
        "999.999999999999",
        "5.000000000000",
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (1234.5678, "1234.567800000000"),
        (779.1181477921494, "779.118147792149"),  # times 10¹² as a double it would round up
        (264.7750082449755, "264.775008244976"),  # and this one down
        (0.1234567890125, "0.123456789012"),  # half a picodollar: to the even one
        ("0.30000000000000004", "0.300000000000"),
        (5e-13, "0.000000000000"),
        (4.9e-13, "0.000000000000"),
    ],
)
@pytest.mark.usefixtures("whole_records")
def test_other_money_is_exact_too(sent: object, kept: str) -> None:
    (cost,) = column(Decoder().decode([line("a", cost_usd=sent)]).table, "cost_usd")
    assert f"{cost:f}" == kept


def test_absence_null_and_empty_text_are_the_same() -> None:
    decoded = Decoder().decode(
        [line("a"), line("b", feature=None, environment=None), line("c", feature="", environment="")]
    )
    assert column(decoded.table, "feature") == [None, None, None]
    assert column(decoded.table, "environment") == ["default"] * 3
    assert column(decoded.table, "region") == ["default"] * 3


@pytest.mark.usefixtures("whole_records")
def test_messages_are_kept_as_json_text_and_marked_so() -> None:
    messages = [{"role": "user", "content": "é"}]
    decoded = Decoder().decode([line("a", input=messages), line("b", input="plain"), line("c", output=[])])
    assert column(decoded.table, "input") == ['[{"role":"user","content":"é"}]', "plain", None]
    assert column(decoded.table, "input_is_messages") == [True, None, None]


def test_only_columns_that_occur_are_there() -> None:
    assert sorted(Decoder().decode([line("a", turn=1)]).table.column_names) == [
        "environment", "event_id", "region", "service", "timestamp", "turn",
    ]  # fmt: skip


@pytest.mark.parametrize("values", [[], [None], [b""], [b"x", None, b"[]"]])
def test_a_batch_without_an_event_has_no_rows(values: list[bytes | None]) -> None:
    decoded = Decoder().decode(values)
    assert (decoded.table.num_rows, len(decoded.refusals), decoded.items) == (0, len(values), len(values))
    assert {"event_id", "timestamp", "service"} <= set(decoded.table.column_names)
    for places in (decoded.record, decoded.item, decoded.unknown_fields):
        assert (places.dtype, len(places)) == (np.int32, 0)


def test_a_null_at_the_root_is_refused_alone() -> None:
    decoded = Decoder().decode([line("a"), line("b") + b"\nnull\n" + line("c"), line("d")])
    assert column(decoded.table, "event_id") == ["a", "b", "c", "d"]
    assert [(refusal.record, refusal.item, refusal.problem.reason) for refusal in decoded.refusals] == [
        (1, 1, "wrong_type")
    ]


LINE_A, LINE_B = line("a"), line("b")


@pytest.mark.parametrize(
    ("record", "good", "bad"),
    [
        (LINE_A + b"\nnot json\n" + LINE_B, ["a", "b"], [(1, "not_json", b"not json")]),
        (b"not json\n" + LINE_A, ["a"], [(0, "not_json", b"not json")]),
        (b"not json\nnor this", [], [(-1, "not_json", b"not json\nnor this")]),
        (b'{\n"event_id": "a",\n"service"\n}', [], [(-1, "not_json", b'{\n"event_id": "a",\n"service"\n}')]),
        (b"[" + LINE_A + b"\n" + LINE_B, [], [(-1, "not_json", b"[" + LINE_A + b"\n" + LINE_B)]),
        (b"{\n{", [], [(0, "not_json", b"{"), (1, "not_json", b"{")]),
    ],
    ids=["middle", "first", "none", "one damaged document", "damaged array", "two cut lines"],
)
def test_a_line_that_is_no_json_does_not_take_its_neighbours_with_it(
    record: bytes, good: list[str], bad: list[tuple[int, str, bytes]]
) -> None:
    decoded = Decoder().decode([record])
    assert column(decoded.table, "event_id") == good
    assert [(r.item, r.problem.reason, r.value) for r in decoded.refusals] == bad


# --- text that is none


@pytest.mark.parametrize(
    "wrong",
    [b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"],
    ids=["continuation alone", "no such byte", "overlong", "half a surrogate", "beyond the last", "cut"],
)
@pytest.mark.parametrize("field", ["event_id", "service", "feature", "brand_new"])
def test_an_event_that_is_not_utf8_is_refused_wherever_that_is_and_its_neighbours_are_not(
    field: str, wrong: bytes
) -> None:
    bad = line("bad", feature="f", brand_new="n").replace(
        b'"%s":"' % field.encode(), b'"%s":"%s' % (field.encode(), wrong)
    )
    decoded = Decoder().decode([line("é"), bad, line("日本", feature="😀"), bad])
    assert decoded.table["event_id"].to_pylist() == ["é", "日本"]
    assert [(refusal.record, refusal.problem.reason) for refusal in decoded.refusals] == [
        (1, RejectReason.NOT_UTF8),
        (3, RejectReason.NOT_UTF8),
    ]


@pytest.mark.usefixtures("whole_records")
def test_text_of_any_language_is_read_by_the_fast_path() -> None:
    texts = ["é", "日本", "😀", "\u0000", "\uffff", "\U0010ffff"]
    lines = [json.dumps(event(text), ensure_ascii=False).encode() for text in texts]
    assert Decoder().decode(lines).table["event_id"].to_pylist() == texts


def test_a_field_has_one_name_whatever_path_decodes_it() -> None:
    """Python's own name for `class` is none of the contract's."""
    event = {"event_id": "a", "timestamp": 1769860800, "service": "s", "error": {"class_": "timeout"}}
    odd = {**event, "event_id": "b", "input_tokens": 10.0}
    values = [json.dumps(one).encode() for one in (event, odd)]
    found = [Decoder().decode([value]) for value in values]
    assert [decoded.unknown_fields.tolist() for decoded in found] == [[1], [1]]
    assert all("error_class" not in decoded.table.column_names for decoded in found)


# --- forms of a record

A, B = line("a", input="x"), line("b", context={"hit": True}, finish_reasons=["stop"])


@pytest.mark.usefixtures("whole_records")
@pytest.mark.parametrize(
    "record",
    [
        b"[" + A + b",\n" + B + b"]",  # as the SDK packs
        b"[" + A + b", " + B + b"]",  # as json.dumps writes
        json.dumps([json.loads(A), json.loads(B)], indent=2).encode(),
        A + b"\n" + B,
        A + b"\r\n" + B + b"\r\n",
        b"\n" + A + b"\n\n \n" + B + b"\n\n",
        b" \t[" + A + b",\n" + B + b"]\r\n",
    ],
)
def test_several_events_of_one_record_are_read_in_one_go(record: bytes) -> None:
    decoded = Decoder().decode([A, record, B])
    assert column(decoded.table, "event_id") == ["a", "a", "b", "b"]
    assert (decoded.record.tolist(), decoded.item.tolist()) == ([0, 1, 1, 2], [0, 0, 1, 0])


@pytest.mark.parametrize(
    "record",
    [
        None, b"", b" \n", b"\n\n", b"null", b"5", b'"text"', b"{", b"}", b"[", b"]", b"[]", b"[[]]", b"[5,\n6]",
        b"\xef\xbb\xbf" + A,  # a byte order mark
        A + A, A + b" " + A, A + b"\nnull\n" + B, A + b" null " + B, A + b"\n5", A + b",\n" + B, A + b"\n[" + B + b"]",
        A + b"\n\x0b\n" + B, A + b"\n\x1c\n" + B, A + "\n\u3000\n".encode() + B,  # white space to Python only
        b"[" + A + b"\n" + B + b"]", b"[" + A + b"]\n" + B, b"[" + A + b",\n" + B + b",\n]", b"[" + A + b",\n" + B,
        b"[" + A + b"," + b'{"a":[{},\n{}]}' + b"]", b'{"a":[{}\n{}]}', A[:-1] + b'\n"turn":1}', A.replace(b'"service"', b'"turn":NaN,"service"'),
    ],
)  # fmt: skip
def test_whatever_has_another_form_is_read_as_by_the_reference_and_its_neighbours_are_not_touched(
    record: bytes | None,
) -> None:
    values = [A, record, B]
    assert_same(Decoder().decode(values), decode_by_reference(values))


def test_a_record_may_be_so_large_and_no_larger_white_space_included() -> None:
    fits = A.ljust(MAX_RECORD_BYTES)
    decoded = Decoder().decode([A, fits, fits + b" ", B])
    assert decoded.record.tolist() == [0, 1, 3]
    assert [(refusal.record, refusal.problem.reason) for refusal in decoded.refusals] == [
        (1 + 1, "too_large")
    ]


@pytest.mark.parametrize("between", [b"\n", b",\n"])
def test_a_record_may_hold_so_many_events_and_no_more(between: bytes) -> None:
    events = [A] * (MAX_ITEMS_PER_RECORD + 1)
    records = [between.join(events[1:]), between.join(events)]
    if between != b"\n":
        records = [b"[" + record + b"]" for record in records]
    decoded = Decoder().decode([*records, B])
    assert decoded.table.num_rows == MAX_ITEMS_PER_RECORD + 1
    assert [(refusal.record, refusal.problem.reason) for refusal in decoded.refusals] == [(1, "too_large")]


def test_the_neighbours_of_a_bad_item_are_not_judged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused event costs what it costs, not fifty times as much."""
    asked: list[object] = []
    validate = CallEvent.model_validate
    monkeypatch.setattr(
        CallEvent, "model_validate", lambda item: asked.append(item["event_id"]) or validate(item)
    )
    items = [event(f"{n}", new=n) for n in range(50)]
    items[7]["turn"], items[9]["timestamp"] = 0, "2026-02-30T12:00:00Z"
    decoded = Decoder().decode([pack(*items)])
    assert sorted(asked) == ["7", "9"]
    assert decoded.table.num_rows == 48
    assert [refusal.item for refusal in decoded.refusals] == [7, 9]


@pytest.mark.usefixtures("whole_records")
def test_whole_numbers_may_be_written_with_a_point_or_an_exponent() -> None:
    record = (
        line("a", turn="x").replace(b'"x"', b"10.0") + b"\n" + line("b", turn="x").replace(b'"x"', b"1e3")
    )
    assert column(Decoder().decode([record]).table, "turn") == [10, 1000]


# --- limits, from the contract itself


def with_value(path: tuple[str, ...], value: object) -> bytes:
    inner = value
    for name in reversed(path):
        inner = {name: inner}
    assert isinstance(inner, dict)
    return json.dumps({**event("a"), **inner}, ensure_ascii=False).encode()


LIMITED = [each for each in call_columns() if each.limit is not None and each.kind not in {"texts", "labels"}]


@pytest.mark.parametrize("limited", LIMITED, ids=lambda each: each.name)
def test_a_value_at_its_limit_is_read_in_one_go_and_one_beyond_it_is_refused(
    limited: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_text = limited.kind in {"text", "id"}
    last = "é" * int(limited.limit) if is_text else limited.limit
    beyond = last + "é" if is_text else last * 1.1 if limited.kind in {"ms", "fraction"} else last + 1
    refused = Decoder().decode([with_value(limited.path, beyond)])
    assert (refused.table.num_rows, len(refused.refusals)) == (0, 1)
    monkeypatch.setattr(decoder_module, "decode_record", lambda value, _: refuse(value))
    wholes = {
        **dict.fromkeys(("output_tokens", "input_tokens", "cache_write_input_tokens"), MAX_COUNT),
        "cache_reporting": "exclusive",
    }
    kept = {**({} if is_text else wholes), **json.loads(with_value(limited.path, last))}
    (row,) = Decoder().decode([json.dumps(kept).encode()]).table.to_pylist()
    assert row[limited.name] == last
