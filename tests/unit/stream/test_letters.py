from __future__ import annotations

import base64
import hashlib

import pytest

from tokentide.schemas.problems import Problem
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.batch import WHOLE_RECORD, Refusal
from tokentide.stream.letters import LetterPolicy, RecordPlace, dead_letter, letter_key

PLACE = RecordPlace("llm.events:id", "llm.events", 3, 65_541, 1_769_860_800_123, b"key-1")
PROBLEM = Problem(RejectReason.WRONG_TYPE, "turn: is text of 1 character; must be a whole number", "turn")


def refusal(value: bytes | None, item: int = 2, problem: Problem = PROBLEM) -> Refusal:
    return Refusal(record=17, item=item, problem=problem, value=value)


def test_a_letter_says_where_the_record_stands_and_holds_its_bytes() -> None:
    letter = dead_letter(refusal(b"\xff\x00refused"), PLACE, LetterPolicy())
    assert letter.model_dump(mode="json") == {
        "reason": "wrong_type",
        "step": "decode",
        "error": "turn: is text of 1 character; must be a whole number",
        "field": "turn",
        "source": "llm.events:id",
        "topic": "llm.events",
        "partition": 3,
        "offset": 65_541,
        "index": 2,
        "record_timestamp_ms": 1_769_860_800_123,
        "value_base64": base64.b64encode(b"\xff\x00refused").decode(),
        "value_bytes": 9,
        "value_sha256": hashlib.sha256(b"\xff\x00refused").hexdigest(),
        "truncated": False,
        "key_base64": base64.b64encode(b"key-1").decode(),
    }


def test_its_key_is_its_identity() -> None:
    assert letter_key(dead_letter(refusal(b"x"), PLACE, LetterPolicy())) == b"llm.events/3/65541/2"
    assert (
        letter_key(dead_letter(refusal(b"x", WHOLE_RECORD), PLACE, LetterPolicy()))
        == b"llm.events/3/65541/-1"
    )


def test_long_values_are_cut_and_the_letter_says_so_with_size_and_hash_of_the_whole() -> None:
    value = b"0123456789"
    letter = dead_letter(refusal(value), PLACE, LetterPolicy(keep_bytes=4))
    assert base64.b64decode(letter.value_base64 or "") == b"0123"
    assert (letter.truncated, letter.value_bytes) == (True, 10)
    assert letter.value_sha256 == hashlib.sha256(value).hexdigest()


def test_a_value_of_just_the_size_is_not_cut() -> None:
    letter = dead_letter(refusal(b"0123"), PLACE, LetterPolicy(keep_bytes=4))
    assert (base64.b64decode(letter.value_base64 or ""), letter.truncated) == (b"0123", False)


def test_where_only_hashes_are_kept_neither_value_nor_key_is() -> None:
    letter = dead_letter(refusal(b"secret"), PLACE, LetterPolicy(hash_only=True))
    assert (letter.value_base64, letter.key_base64, letter.truncated) == (None, None, False)
    assert (letter.value_bytes, letter.value_sha256) == (6, hashlib.sha256(b"secret").hexdigest())
    assert "secret" not in letter.model_dump_json()


@pytest.mark.parametrize("hash_only", [False, True])
def test_a_record_without_a_value_has_nothing_to_hash(*, hash_only: bool) -> None:
    letter = dead_letter(refusal(None, WHOLE_RECORD), PLACE, LetterPolicy(hash_only=hash_only))
    assert (letter.value_base64, letter.value_bytes, letter.value_sha256, letter.truncated) == (
        None,
        None,
        None,
        False,
    )


def test_no_bytes_are_not_the_same_as_no_value() -> None:
    letter = dead_letter(refusal(b"", WHOLE_RECORD), PLACE, LetterPolicy())
    assert (letter.value_base64, letter.value_bytes, letter.value_sha256) == (
        "",
        0,
        hashlib.sha256(b"").hexdigest(),
    )


def test_a_record_may_have_no_key_and_a_long_one_is_cut() -> None:
    assert dead_letter(refusal(b"x"), PLACE._replace(key=None), LetterPolicy()).key_base64 is None
    long = dead_letter(refusal(b"x"), PLACE._replace(key=b"k" * 5_000), LetterPolicy())
    assert base64.b64decode(long.key_base64 or "") == b"k" * 1_024


@pytest.mark.parametrize("reason", RejectReason)
def test_the_step_follows_from_the_reason(reason: RejectReason) -> None:
    letter = dead_letter(refusal(b"x", problem=Problem(reason, "text")), PLACE, LetterPolicy())
    assert letter.step == ("validate" if reason in {"inconsistent", "clock"} else "decode")


def test_the_same_refusal_gives_the_same_letter() -> None:
    one, other = (dead_letter(refusal(b"x"), PLACE, LetterPolicy()) for _ in range(2))
    assert one.model_dump_json() == other.model_dump_json()
