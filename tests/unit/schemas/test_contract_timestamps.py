from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.schemas.timestamps import MILLISECONDS_FROM, parse_timestamp

NOON_US = 1_769_860_800_000_000
"""2026-01-31T12:00:00Z."""


@pytest.mark.parametrize(
    ("text", "after_noon_us"),
    [
        ("2026-01-31T12:00:00Z", 0),
        ("2026-01-31t12:00:00z", 0),
        ("2026-01-31 12:00:00Z", 0),
        ("2026-01-31T12:00:00+00:00", 0),
        ("2026-01-31T12:00:00-00:00", 0),
        ("2026-01-31T14:30:00+02:30", 0),
        ("2026-01-30T12:01:00-23:59", 0),
        ("2026-02-01T11:59:00+23:59", 0),
        ("2026-01-31T12:00:01.5Z", 1_500_000),
        ("2026-01-31T12:00:00.000001Z", 1),
        ("2026-01-31T12:00:00.123456Z", 123_456),
    ],
)
def test_text_with_a_zone_is_one_moment(text: str, after_noon_us: int) -> None:
    assert parse_timestamp(text) == NOON_US + after_noon_us


@pytest.mark.parametrize(("digits", "us"), [("0000009", 0), ("9999999", 999_999), ("123456999", 123_456)])
def test_digits_below_a_microsecond_are_cut_not_rounded(digits: str, us: int) -> None:
    assert parse_timestamp(f"2026-01-31T12:00:00.{digits}Z") == NOON_US + us


def test_a_time_before_1970_keeps_its_fraction() -> None:
    assert parse_timestamp("1969-12-31T23:59:59.250Z") == -750_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",  # no zone: a guess would move events between windows
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00+0200",
        "2026-01-31T12:00:00+02",
        "2026-01-31T12:00:00 +02:00",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-1-31T12:00:00Z",
        " 2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+05:60",
    ],
)
def test_text_of_another_form_is_refused_with_an_example_of_the_right_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339 with a zone, such as 2026-01-31T12:00:00\.250Z"):
        parse_timestamp(text)


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2026-01-31T12:00:60.5Z"])
def test_leap_seconds_are_refused_and_the_message_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="no leap second"):
        parse_timestamp(text)


@pytest.mark.parametrize("text", ["2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_date_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no such date"):
        parse_timestamp(text)


def test_numbers_below_the_boundary_are_seconds_and_from_it_on_milliseconds() -> None:
    assert MILLISECONDS_FROM == 100_000_000_000
    assert parse_timestamp(99_999_999_999) == 99_999_999_999_000_000  # the year 5138
    assert parse_timestamp(100_000_000_000) == 100_000_000_000_000  # March 1973
    assert parse_timestamp(1_769_860_800) == parse_timestamp(1_769_860_800_000) == NOON_US


def test_fractions_of_numbers_go_to_the_nearest_microsecond() -> None:
    assert parse_timestamp(1_769_860_800.000001) == NOON_US + 1  # the double is 1769860800.00000095…
    assert parse_timestamp(1_769_860_800.25) == NOON_US + 250_000
    assert parse_timestamp(1_769_860_800_000.5) == NOON_US + 500


@pytest.mark.parametrize(
    "number", [-1, -0.001, 1e14, 10**14, 10**30, float("nan"), float("inf"), float("-inf")]
)
def test_numbers_that_cannot_be_a_time_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not seconds or milliseconds since 1970"):
        parse_timestamp(number)


def test_the_message_never_repeats_the_text() -> None:
    for text in ("canary", "2026-99-99T12:00:00Z"):
        with pytest.raises(ValueError, match=r"RFC 3339|no such date") as refused:
            parse_timestamp(text)
        assert text not in str(refused.value)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_every_form_of_a_moment_has_the_same_value(moment: datetime) -> None:
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000 + since_1970.microseconds
    assert parse_timestamp(moment.isoformat()) == expected
    assert parse_timestamp(moment.isoformat(" ").replace("+00:00", "z")) == expected


@pytest.mark.parametrize("digits", [15, 400, 4_000])
def test_a_number_of_any_length_is_refused_in_the_same_way(digits: int) -> None:
    with pytest.raises(ValueError, match="not seconds or milliseconds"):
        parse_timestamp(10**digits)
