from __future__ import annotations

import enum
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tokentide.producers import event_encoder
from tokentide.producers.errors import EventError
from tokentide.producers.event_encoder import EventEncoder
from tokentide.schemas.call import CallEvent

START_NS = 1_767_323_045_000_000_000


def encoder(
    *, labels: dict[str, str] | None = None, max_bytes: int = 1_000_000, **defaults: object
) -> EventEncoder:
    return EventEncoder(
        {"service": "shop", **defaults}, labels or {}, time_ns=lambda: START_NS, max_bytes=max_bytes
    )


def written(event: object, **options: object) -> dict[str, object]:
    return json.loads(encoder(**options).encode(event).value)


def test_what_the_producer_knows_is_filled_in():
    event = written({"input_tokens": 3}, environment="production")
    assert uuid.UUID(str(event.pop("event_id"))).version == 7
    assert event == {
        "timestamp": "2026-01-02T03:04:05.000000Z",
        "service": "shop",
        "environment": "production",
        "input_tokens": 3,
    }


def test_what_the_event_says_wins():
    event = written(
        {"event_id": "mine", "timestamp": 1_700_000_000, "service": "other", "environment": "staging"},
        environment="production",
    )
    assert event == {
        "event_id": "mine",
        "timestamp": 1_700_000_000,
        "service": "other",
        "environment": "staging",
    }


@pytest.mark.parametrize("name", ["event_id", "timestamp", "service", "environment"])
def test_null_means_that_the_producer_s_own_is_taken(name):
    assert written({name: None}, environment="production")[name] is not None


@pytest.mark.parametrize("name", ["environment", "region", "event_type", "schema_version"])
def test_null_without_a_default_is_left_out_because_the_contract_refuses_it(name):
    assert name not in written({name: None})


def test_labels_are_joined_and_those_of_the_event_win():
    labels = {"team": "a", "zone": "1"}
    assert written({}, labels=labels)["labels"] == labels
    assert written({"labels": None}, labels=labels)["labels"] == labels
    assert written({"labels": {"zone": "2"}}, labels=labels)["labels"] == {"team": "a", "zone": "2"}


def test_the_bytes_are_a_snapshot():
    event = {"stages": {"model_ms": 1.0}, "finish_reasons": ["stop"]}
    value = encoder().encode(event).value
    event["stages"]["model_ms"] = 99.0
    event["finish_reasons"].append("length")
    assert json.loads(value)["stages"] == {"model_ms": 1.0}
    assert json.loads(value)["finish_reasons"] == ["stop"]


def test_the_application_s_dictionary_stays_as_it_was():
    event = {"input_tokens": 1, "labels": {"a": "b"}}
    encoder(labels={"c": "d"}).encode(event)
    assert event == {"input_tokens": 1, "labels": {"a": "b"}}


def test_no_raw_newline_is_ever_inside_an_object():
    value = encoder().encode({"input": "a\nb\r\n},\n{\u2028", "labels": {"x\ny": "\n"}}).value
    assert b"\n" not in value
    assert b"\r" not in value
    assert json.loads(value)["input"] == "a\nb\r\n},\n{\u2028"


def test_an_event_of_the_contract_s_own_model_means_the_same_when_read_back():
    event = CallEvent(
        event_id="e1",
        timestamp="2026-01-02T03:04:05.678901Z",
        service="shop",
        cost_usd=Decimal("0.0000001"),
        error={"type": "X", "class": "server"},
    )
    assert CallEvent.model_validate_json(encoder().encode(event).value) == event


def test_values_of_the_standard_library_become_what_the_contract_reads():
    class Provider(enum.StrEnum):
        OPENAI = "openai"

    event = written(
        {
            "provider": Provider.OPENAI,
            "request_id": uuid.UUID(int=1),
            "cost_usd": Decimal("0.00000012"),
            "finish_reasons": ("stop",),
            "timestamp": datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=timezone(timedelta(hours=2))),
        }
    )
    assert event["provider"] == "openai"
    assert event["request_id"] == "00000000-0000-0000-0000-000000000001"
    assert event["cost_usd"] == "0.00000012"
    CallEvent.model_validate({**event, "service": "x"})


def test_numbers_of_other_libraries_are_read_by_their_item():
    class Scalar:
        def item(self) -> float:
            return 2.5

    assert written({"duration_ms": Scalar()})["duration_ms"] == 2.5


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), Decimal("NaN")])
def test_a_number_that_is_not_finite_is_sent_as_unknown_and_told(number):
    encoded = encoder().encode({"quality": {"score": number, "label": "NaN"}, "input": "Infinity"})
    event = json.loads(encoded.value)
    assert event["quality"] == {"score": None, "label": "NaN"}
    assert event["input"] == "Infinity"
    assert encoded.mended == "quality: is not a finite number; sent as unknown"
    assert json.loads(encoder().encode({"duration_ms": number}).value)["duration_ms"] is None


def test_the_word_nan_in_a_text_is_no_matter():
    encoded = encoder().encode({"input": "NaN Infinity"})
    assert encoded.mended is None
    assert json.loads(encoded.value)["input"] == "NaN Infinity"


def test_a_lone_surrogate_is_replaced_and_a_split_pair_is_joined():
    encoded = encoder().encode({"output": "a\ud800b", "input": "\ud83d\ude00"})
    event = json.loads(encoded.value)
    assert (event["output"], event["input"]) == ("a\ufffdb", "😀")
    assert encoded.mended == "output: holds a broken character (a lone surrogate); replaced"


def test_an_event_over_the_size_limit_goes_without_its_texts():
    encoded = encoder(max_bytes=1000).encode({"input": "x" * 2000, "output": "y", "input_tokens": 7})
    event = json.loads(encoded.value)
    assert event["input_tokens"] == 7
    assert "input" not in event
    assert encoded.mended == "input: left out: the event is over the size limit with it"


def test_an_event_that_is_too_large_without_texts_is_refused_by_the_name_of_its_largest_field():
    with pytest.raises(EventError, match=r"^tenant: makes the event larger than 1000 bytes"):
        encoder(max_bytes=1000).encode({"tenant": "x" * 2000, "feature": "y" * 10})


TEXT_5_MB = "the quick brown fox jumps" * 200_000
LARGE = {
    "a text": TEXT_5_MB,
    "one message": [{"role": "user", "content": TEXT_5_MB}],
    "messages": [{"role": "user", "content": TEXT_5_MB[:2_000]}] * 2_500,
    "messages in parts": [{"role": "user", "content": [{"type": "text", "text": TEXT_5_MB[:2_000]}] * 50}]
    * 50,
    "numbers": [{"vector": [1.5] * 2_500_000}],
    "bytes": [{"audio": TEXT_5_MB.encode()}],
}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("field", ["input", "output", "error", "tenant"])
def test_what_is_far_over_the_size_limit_is_never_written(monkeypatch, field, large):
    """Not timed: writing it, and mending it value by value, is what took a tenth of a second."""
    sizes = []

    def to_json(value: object, **options: object) -> bytes:
        written = event_encoder_to_json(value, **options)
        sizes.append(len(written))
        return written

    event_encoder_to_json = event_encoder.to_json
    monkeypatch.setattr(event_encoder, "to_json", to_json)
    event = {field: {"message": large} if field == "error" else large, "input_tokens": 7}
    if field in ("input", "output"):
        encoded = encoder().encode(event)
        assert json.loads(encoded.value).keys() == {"event_id", "timestamp", "service", "input_tokens"}
        assert encoded.mended == f"{field}: left out: the event is over the size limit with it"
    else:
        with pytest.raises(EventError, match=f"^{field}: makes the event larger than 1000000 bytes"):
            encoder().encode(event)
    if field != "tenant":  # a name; the contract has it in 200 characters
        assert sum(sizes) < 1_000


@pytest.mark.parametrize("field", ["input", "output"])
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("letter", ["x", "\n", "\x00", "€"])
def test_the_size_limit_is_exact_for_long_texts(field, over, letter):
    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    bare = len(encoder().encode({"event_id": "e", field: ""}).value)
    letters, rest = divmod(1_000_000 - bare, each)
    encoded = encoder().encode({"event_id": "e", field: letter * letters + "y" * (rest + over)})
    assert (field in json.loads(encoded.value)) is (over == 0)
    if not over:
        assert len(encoded.value) == 1_000_000


@pytest.mark.parametrize(
    "messages",
    [
        [
            {"role": "user", "content": "a\nb" * 5_000},
            {"role": "tool", "n": 1, "b": True, "c": None, "d": (1, "x")},
        ],
        [{"role": "user", "content": "€" * 5_000, "score": 0.5}],
        [{"content": [{"text": "x" * 9_000}, {"text": "y", "at": datetime(2026, 1, 2, tzinfo=UTC)}]}],
        [{"content": b"z" * 9_000, "id": uuid.UUID(int=1)}],
    ],
)
def test_long_messages_mean_the_same(messages):
    event = {
        "event_id": "e",
        "input": messages,
        "output": "}" * 9_000,
        "input_tokens": 7,
        "event_type": "call",
    }
    assert written(event) == {
        "timestamp": "2026-01-02T03:04:05.000000Z",
        "service": "shop",
        **json.loads(event_encoder.to_json(event)),
    }


def test_long_messages_are_a_snapshot():
    messages = [{"role": "user", "content": "x" * 9_000}]
    value = encoder().encode({"input": messages}).value
    messages[0]["content"] = "changed"
    messages.append({"role": "user", "content": "more"})
    assert json.loads(value)["input"] == [{"role": "user", "content": "x" * 9_000}]


def test_numbers_and_characters_in_long_messages_are_mended_as_in_short_ones():
    encoded = encoder().encode({"input": [{"content": "x" * 9_000, "score": float("nan")}]})
    assert json.loads(encoded.value)["input"][0]["score"] is None
    assert encoded.mended == "input: is not a finite number; sent as unknown"
    encoded = encoder().encode({"input": [{"content": "x" * 9_000 + "\ud800"}], "duration_ms": float("inf")})
    assert json.loads(encoded.value)["input"] == [{"content": "x" * 9_000 + "\ufffd"}]
    encoded = encoder().encode({"input": "x" * 9_000, "duration_ms": float("inf")})
    assert (json.loads(encoded.value)["duration_ms"], len(json.loads(encoded.value)["input"])) == (
        None,
        9_000,
    )
    assert encoded.mended == "duration_ms: is not a finite number; sent as unknown"


def test_an_event_of_many_escapes_is_refused_by_the_name_of_its_largest_field():
    with pytest.raises(EventError, match=r"^tenant: makes the event larger than 1000 bytes"):
        encoder(max_bytes=1000).encode({"tenant": "\x00" * 200, "feature": "y" * 10})


def test_messages_that_contain_themselves_are_refused():
    messages: list[object] = [{"content": "x" * 9_000}]
    messages.append({"content": messages})
    with pytest.raises(EventError, match=r"^input: is nested deeper than 64 levels or contains itself"):
        encoder().encode({"input": messages})


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("text", "an event is a dictionary or a CallEvent, not a str"),
        (None, "an event is a dictionary or a CallEvent, not a NoneType"),
        ({"user_id": object()}, "user_id: holds a object, which JSON cannot"),
        ({"context": {"hit": object()}}, "context: holds a object, which JSON cannot"),
        ({"timestamp": datetime(2026, 1, 1)}, "timestamp: has no zone; use datetime.now(UTC)"),  # noqa: DTZ001
        ({"labels": {"a\ud800": "b"}}, "labels: holds a name with a broken character (a lone surrogate)"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_field_and_without_the_value(event, message):
    with pytest.raises(EventError) as caught:
        encoder().encode(event)
    assert str(caught.value) == message


def test_an_event_without_a_service_is_refused():
    with pytest.raises(EventError, match=r"^service: is required and missing"):
        EventEncoder({}, {}, time_ns=lambda: 0).encode({"input_tokens": 1})


def test_an_event_that_contains_itself_is_refused():
    event: dict[str, object] = {}
    event["context"] = event
    with pytest.raises(EventError, match=r"^context: is nested deeper than 64 levels or contains itself"):
        encoder().encode(event)


def test_a_generator_is_refused_and_not_used_up():
    chunks = (text for text in ["a", "b"])
    with pytest.raises(EventError, match=r"^output: is a generator"):
        encoder().encode({"output": chunks})
    assert list(chunks) == ["a", "b"]


def test_a_time_with_a_zone_is_kept():
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert written({"timestamp": when})["timestamp"] == "2026-01-02T03:04:05.678901Z"
