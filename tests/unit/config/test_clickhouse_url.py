from __future__ import annotations

import pytest
from pydantic import SecretStr

from tokentide.config import ClickHouseUrl, parse_clickhouse_url


def test_every_part_of_the_url_is_read() -> None:
    assert parse_clickhouse_url("https://ann:pw@db.example.org:9443/metrics") == ClickHouseUrl(
        scheme="https",
        host="db.example.org",
        port=9443,
        user="ann",
        password=SecretStr("pw"),
        database="metrics",
    )


@pytest.mark.parametrize(("url", "port"), [("http://h", 8123), ("https://h", 8443)])
def test_what_is_left_out_has_the_usual_value(url: str, port: int) -> None:
    parsed = parse_clickhouse_url(url)
    assert (parsed.port, parsed.user, parsed.password.get_secret_value(), parsed.database) == (
        port,
        "default",
        "",
        "tokentide",
    )


def test_percent_encoded_characters_of_user_and_password_are_decoded_and_written_back_encoded() -> None:
    url = "http://a%40b:p%2Fw%3A%20@h:8123/tokentide"
    parsed = parse_clickhouse_url(url)
    assert (parsed.user, parsed.password.get_secret_value()) == ("a@b", "p/w: ")
    assert parsed.revealed() == url


def test_an_ipv6_host_keeps_its_brackets() -> None:
    assert str(parse_clickhouse_url("http://[::1]:8123/x")) == "http://default@[::1]:8123/x"


@pytest.mark.parametrize("shown", [str, repr, "{}".format])
def test_the_password_is_masked_wherever_the_url_is_written(shown: object) -> None:
    assert callable(shown)
    text = shown(parse_clickhouse_url("http://ann:canary@h:8123/db"))
    assert "canary" not in text
    assert "http://ann:***@h:8123/db" in text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("tcp://u:canary@h:9000/db", "must begin with http"),
        ("h:8123", "must begin with http"),
        ("http:///db", "names no host"),
        ("http://u:can/ary@h:8123/db", "percent-encoded"),
        ("http://u:canary@h:99999/db", "percent-encoded"),
        ("http://u:canary@h/db?secure=1", "after the database"),
        ("http://u:canary@h/a/b", "more than the database"),
        ("http://u:canary@[h/a", "percent-encoded"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_any_of_it(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_clickhouse_url(url)
    assert "canary" not in str(caught.value)
    assert "ary" not in str(caught.value)
    assert caught.value.__cause__ is None  # the standard library's error quotes a part of the URL
    assert caught.value.__context__ is None or caught.value.__suppress_context__
