"""Every decoder does what the reference path does, on many records drawn by a generator of its own.

`TOKENTIDE_FUZZ_RUNS` says how many, `TOKENTIDE_FUZZ_SEED` from where.
"""

from __future__ import annotations

import os

import pytest

from tests.support.decode_traffic import Traffic, alone
from tests.support.decoding import DECODERS, assert_same
from tokentide.stream.decode.decoder import decode_by_reference

RUNS = int(os.environ.get("TOKENTIDE_FUZZ_RUNS") or 200)
SEED = int(os.environ.get("TOKENTIDE_FUZZ_SEED") or 0)
A_PART = 50
"""Runs of one test: so that they are shared out over the cores."""


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("first", range(SEED, SEED + RUNS, max(A_PART, RUNS // 20)))
@pytest.mark.parametrize("name", DECODERS)
def test_any_records_are_decoded_as_by_the_reference(name: str, first: int) -> None:
    decode = DECODERS[name]()
    for seed in range(first, min(first + max(A_PART, RUNS // 20), SEED + RUNS)):
        values = Traffic(seed).batch()
        try:
            assert_same(decode(values), decode_by_reference(values))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {smallest(name, values)!r}") from error


@pytest.mark.parametrize("name", DECODERS)
def test_forms_of_numbers_and_times_are_decoded_as_by_the_reference_alone_and_in_company(name: str) -> None:
    decode, values = DECODERS[name](), alone()
    assert_same(decode(values), decode_by_reference(values))
    for value in values:
        assert_same(decode([value]), decode_by_reference([value]))


def smallest(name: str, values: list[bytes | None]) -> list[bytes | None]:
    """One record that is enough, if one is."""
    for value in values:
        try:
            assert_same(DECODERS[name]()([value]), decode_by_reference([value]))
        except AssertionError:
            return [value]
    return values
