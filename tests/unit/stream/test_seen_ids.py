from __future__ import annotations

import itertools
import string

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.fold.seen import SeenIds, fingerprints

LETTERS = string.ascii_lowercase + string.digits


def varying(template: str) -> list[str]:
    """All texts of a template with `?` replaced by letters."""
    parts = template.split("?")
    choices = itertools.product(LETTERS, repeat=len(parts) - 1)
    return ["".join(itertools.chain(*zip(parts, (*letters, ""), strict=True))) for letters in choices]


@given(st.lists(st.lists(st.text(max_size=12))))
def test_an_id_is_repeated_where_it_came_before_in_this_batch_or_an_earlier_one(
    batches: list[list[str]],
) -> None:
    seen, known = SeenIds(), set[str]()
    for batch in batches:
        expected = []
        for text in batch:
            expected.append(text in known)
            known.add(text)
        assert seen.add(pa.array(batch, pa.string())).tolist() == expected
    assert len(seen) == len(known)


@pytest.mark.parametrize(
    "template",
    [
        "abcdefg?hij?lmn?",  # differences in the high bytes of several words, which weak mixing cancels
        "???",
        "?-------?-------?",
        "?------------------------------?-------------------------------?",
        "00000000-0000-?000-0000-?00000000000?",
        "req_???",
        "???\0\0\0\0",
    ],
)
def test_ids_of_any_structure_are_told_apart(template: str) -> None:
    ids = pa.array(varying(template))
    assert not SeenIds().add(ids).any()


def test_numbers_are_told_apart_and_recognised() -> None:
    numbers = pa.array([str(number) for number in range(300_000)])
    seen = SeenIds()
    assert not seen.add(numbers).any()
    assert seen.add(numbers).all()
    assert len(seen) == 300_000


def test_zeros_at_the_end_and_no_text_at_all_are_ids_of_their_own() -> None:
    ids = pa.array(["", "\0", "\0\0", "\0\0\0\0", "\0\0\0\0\0", "a", "a\0"])
    assert not SeenIds().add(ids).any()


def test_long_ids_are_told_apart_by_their_last_character() -> None:
    ids = pa.array(["x" * length + end for length in (199, 799, 2_000) for end in "abc"])
    seen = SeenIds()
    assert not seen.add(ids).any()
    assert seen.add(ids).all()


def test_a_slice_of_a_batch_has_the_fingerprints_of_its_own_texts() -> None:
    ids = pa.array(["one", "two", "three", "four"])
    whole, part = fingerprints(ids), fingerprints(ids.slice(1, 2))
    assert [half[1:3].tolist() for half in whole] == [half.tolist() for half in part]


def test_no_bit_of_a_fingerprint_is_always_the_same() -> None:
    for half in fingerprints(pa.array([str(number) for number in range(4_096)])):
        ever = np.bitwise_or.reduce(half)
        always = np.bitwise_and.reduce(half)
        assert (int(ever), int(always)) == ((1 << 64) - 1, 0)
