"""What is taken out of texts that are stored, and what is left. No secret here was ever one."""

from __future__ import annotations

import pytest

from tokentide.stream.enrich.redact import redact

LONG = "Abcdef1234567890Ghijkl"


@pytest.mark.parametrize(
    "form",
    [
        '{"api_key": "%s"}',
        "{'api_key': '%s'}",
        r"{\"api_key\": \"%s\"}",
        '{"password":"%s"}',
        '{"password":"%s',
        "OPENAI_API_KEY=%s",
        "export OPENAI_API_KEY='%s'",
        "client_secret=%s",
        "access_token=%s&expires_in=3600",
        "AWS_SECRET_ACCESS_KEY=%s",
        "aws_access_key_id = %s",
        "AccountKey=%s;EndpointSuffix=core",
        "x-api-key: %s",
        "Authorization: Basic %s",
        "Authorization: Bearer %s",
        '"Authorization": "Bearer %s"',
        "Authorization: Digest username=a, response=%s",
        "Authorization: %s",
        "Bearer %s is not valid",
        "Cookie: a=b; session=%s",
        "the password is %s",
        "Incorrect API key provided: %s. You can find",
        "GET /v1/models?key=%s",
        "https://user:%s@host.example/path",
        "postgres://user:%s@10.0.0.1:5432/db",
        "https://%s@host.example",
        "github_pat_%s",
        "glpat-%s",
        "hf_%s",
        "ghp_%s",
        "gho_%s",
        "xoxb-%s",
        "xoxp-%s",
        "AIza%s",
        "sk-%s",
        "sk-ant-api03-%s",
        "sk-proj-%s",
        "sk_live_%s",
        "AKIA%s",
        "gsk_%s",
        "npm_%s",
        "eyJhbGciOiJIUzI1NiJ9.%s.sig-nature",
        "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\\n%s",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n%s\n-----END PGP PRIVATE KEY BLOCK-----",
    ],
)
def test_secrets_in_their_common_forms_are_taken_out(form: str) -> None:
    found = redact(f"before {form % LONG} after")
    assert "[secret]" in found
    assert LONG not in found
    assert "1234567890" not in found
    assert found.startswith("before ")


HEAD, TAIL = "Abcdef1234567890Gh", "9a8b7c6d5e4f"
BREAKS = ["\n", "\r\n", "\r", "\n    ", "\\n", "\\r\\n", "\\\n", "=\n", "\u200b", "\u00ad", "\n\n"]


@pytest.mark.parametrize("between", BREAKS)
@pytest.mark.parametrize(
    "form",
    [
        "sk-%s",
        "sk-ant-api03-%s",
        "ghp_%s",
        "AKIA%s",
        "eyJhbGciOiJIUzI1NiJ9.%s",
        "api_key=%s",
        "api_key: '%s'",
        "x-api-key: %s",
        "access_token=%s",
        "the password is %s",
        "Authorization: Basic %s",
        "Authorization: %s",
        "Bearer %s",
        "Basic %s",
        "GET /v1/models?key=%s",
    ],
)
def test_a_secret_that_is_broken_by_a_line_s_end_goes_whole(form: str, between: str) -> None:
    for cut in (2, 5, 18):
        secret = (HEAD + TAIL)[:cut] + between + (HEAD + TAIL)[cut:]
        found = redact(f"before {form % secret} after")
        assert "[secret]" in found
        assert not any(piece in found for piece in (HEAD[5:], TAIL)), found
        assert found.startswith("before ")
        assert found.endswith(" after")
    pieces = between.join([HEAD, TAIL, TAIL])
    assert TAIL not in redact(f"{form % pieces}\nafter")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sk-{LONG}\nRetry with another key", "[secret]\nRetry with another key"),
        (f"api_key={LONG}\nmodel=gpt-4o", "api_key=[secret]\nmodel=gpt-4o"),
        (f"Authorization: Bearer {LONG}\r\nX-Request-Id: 9a8b7c6d", "Authorization: Bearer [secret]\r\nX-Request-Id: 9a8b7c6d"),
        (f"Bearer {LONG}\n2026-01-31 12:00:00 retry", "Bearer [secret]\n2026-01-31 12:00:00 retry"),
        (f"sk-{LONG}\nlevel9=debugging", "[secret]\nlevel9=debugging"),
    ],
)  # fmt: skip
def test_a_line_after_a_secret_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        ("Basic ", "dXNlcjpwYXNzd29yZA=="),
        ("Basic ", "dXNlcjpwYXNz"),  # letters alone, without padding: what is in it tells
        ("basic ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"),
        ("BASIC ", "YTpi"),
        ("Negotiate ", "YIIB8wYJKoZIhvcSAQICAQBu"),
        ("NTLM ", "TlRMTVNTUAABAAAAB4IIogAAAAAA"),
        ("AWS4-HMAC-SHA256 Credential=", "AKIAIOSFODNN7EXAMPLE/20260131/s3/aws4_request, Signature=fe5f80f77d5fa3be"),
        ('Digest username="mufasa", response="', "6629fae49393a05397450978507c4ef1"),
        ("Digest username=mufasa, response=", "6629fae49393a05397450978507c4ef1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["%s", "header %s was refused", "'%s'", "{'auth': '%s'}", "got:\n%s\n"])
def test_credentials_without_the_header_s_name_are_taken_out(scheme: str, secret: str, form: str) -> None:
    found = redact(form % f"{scheme}{secret}")
    assert "[secret]" in found
    assert secret not in found
    assert secret[-10:] not in found
    assert scheme.split(maxsplit=1)[0] in found
    assert redact(found) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"password": "a\\"b c", "model": "gpt-4o"}', '{"password": "[secret]", "model": "gpt-4o"}'),
        ('{"api_key": "abcdef1234567890", "n": 1}', '{"api_key": "[secret]", "n": 1}'),
        ('{"password": "a\\", b1", "n": 1}', '{"password": "[secret]", "n": 1}'),
        (r'"{\"password\": \"a b\", \"n\": 1}"', r'"{\"password\": \"[secret]\", \"n\": 1}"'),
        ("https://user:p@ss@host.example/x", "https://[secret]@host.example/x"),
        ("password=1234, retry", "password=[secret], retry"),
        ("mail a.b+c@mail.example.org now", "mail [email] now"),
        (f"{'a' * 100}@mail.example.org", "[email]"),
        ("a@b.c.d.e.f.g.h, then i@j.example", "[email], then [email]"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("call +1 (555) 010-9999 now", "call [phone] now"),
    ],
)
def test_the_rest_of_the_text_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "token limit exceeded: 4096 tokens",
        "max_tokens=100",
        '{"max_tokens": 4096, "total_tokens": 123456}',
        "token_count: 123456",
        "token: 4096",
        "password is wrong",
        "password: null",
        "the secret is required",
        "invalid token: expired",
        '{"token": "Hello", "logprob": -0.1}',
        "PWD=/home/app",
        "basic authentication is off, use bearer authentication",
        "Basic understanding, Basic internationalization and basic configuration",
        "the Basic tier of gpt-4o, Basic plan",
        "negotiate a lower rate; digest of the day",
        "skateboarding-tournament and scikit-learn",
        "the secretary: Ms Example",
        "see https://platform.example/docs/api-keys for the key",
        "http://localhost:8123/a@b",
        "-----BEGIN CERTIFICATE-----",
        "rate limit of gpt-4o-2024-08-06 reached for requests per min (RPM): 500 of 500",
    ],
)
def test_what_merely_speaks_of_them_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_what_was_redacted_is_not_changed_by_redacting_again() -> None:
    once = redact(f'password="{LONG}" token={LONG} Authorization: Bearer {LONG} a@b.example')
    assert redact(once) == once


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1-",
        "a@",
        "a.",
        "://a",
        "sk-",
        'password="',
        'password="\\"',
        "password ",
        "token is ",
        "bearer a",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "key=\\",
        "Authorization: ",
        "eyJ.",
        "sk-\n",
        "sk-abc\n",
        "sk-abcdefgh1234\na1b2c3d4",
        "Basic ",
        "Basic a",
        "api_key=a\n",
        "\n",
        "\\n",
        "Digest a=",
        "signature=",
    ],
)
def test_a_long_text_of_one_hostile_piece_takes_no_longer_than_its_length(piece: str) -> None:
    """Not timed: with a pattern that goes back over what it has read, each would take minutes."""
    length = 500_000
    redact("password=" + piece * (length // len(piece)))
    redact(piece + " " * length)
    redact(piece + "a" * length)
