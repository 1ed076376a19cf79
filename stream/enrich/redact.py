"""Redaction of text that may be stored: addresses, numbers and keys that identify people or open doors.

Patterns, not understanding: they catch the common written forms and are no proof that a text is harmless. A value is taken for
a secret by its own form (the prefixes that providers give their keys) or by the name before it (`password=`, `"api_key":`);
the name stays, so that the message can still be read. What merely speaks of tokens and passwords stays too.

Forms of keys are the providers' own: GitHub, "About authentication to GitHub" (`ghp_`, `github_pat_`, …); GitLab, "Token
overview" (`glpat-`, …); AWS, "IAM identifiers" (`AKIA`, `ASIA`, …); Slack, "Tokens" (`xoxb-`, `xapp-`, …); RFC 7519 (JWT), RFC
7468 (PEM), RFC 3986 section 3.2.1 (`user:password@host`), RFC 7617 and 6750 (`Basic`, `Bearer`). Which of them leak most is
seen in the rules of gitleaks and detect-secrets.

A secret that a line's end or an invisible character has broken goes whole: after it, a piece that is no word, no name of a
header and no assignment is part of it.

Running time is linear in the text, hostile or not: what repeats without bound gives nothing back (`++`, `*+`) and begins only
where the character before it could not have belonged to it; everything else is bounded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple


class _Rule(NamedTuple):
    """A pattern and what takes its place."""

    pattern: re.Pattern[str]
    instead: str | Callable[[re.Match[str]], str]
    needs: tuple[str, ...]
    """Lower-case texts without one of which it cannot match: looking for these is many times as fast."""


_MIXED: Final = r"(?=[A-Za-z_.~+/=-]{0,64}\d)(?=[\d_.~+/=-]{0,64}[A-Za-z])"
"""Letters and digits: no word of a sentence."""
_BREAK: Final = r"(?:(?:[=\\]?(?:\r\n?|\n)|\\{1,3}[rn]|[\u00ad\u200b-\u200d\u2060\ufeff])[ \t]{0,16}){1,4}+"
"""The end of a line, also escaped or with a mark that the line goes on, and what is not seen."""
_PIECE: Final = rf"{_MIXED}[-_A-Za-z0-9+/.~]{{8,}}+={{0,2}}+(?![\w=:]|[ \t]{{1,4}}[=:])"
"""What goes on there as a part of a secret."""
_ON: Final = rf"(?:{_BREAK}{_PIECE})*+"

_PRIVATE_KEY: Final = (
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{1,80}-----|\Z)"  # one that was cut has no end
)
_USER_OF_URL: Final = r"""(?<=://)(?:[^\s/?#@:"'<>]{0,256}:[^\s/?#"'<>]{1,256}|[^\s/?#@:"'<>]{20,256})@"""
_EMAIL: Final = r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++"

_PREFIXES: Final = (
    "sk[-_]",  # OpenAI (sk-proj-, sk-svcacct-), Anthropic (sk-ant-), OpenRouter (sk-or-), Langfuse, Stripe (sk_live_)
    "[pr]k[-_]",  # Stripe, Langfuse
    "gh[opsur]_",
    "github_pat_",
    "gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct|sa)[-_]",  # GitLab; glsa_ is Grafana's
    "hf_|api_org_",  # Hugging Face
    "xox[a-z](?:[.][a-z]{3,4})?-|xapp-",
    "AIza|ya29[.]|GOCSPX-",  # Google
    "AKIA|ASIA|ABIA|ACCA",
    "gsk_|xai-|pplx-|nvapi-|r8_|tgp_v1_|pcsk_|lsv2_(?:pt|sk)_",  # Groq, xAI, Perplexity, NVIDIA, Replicate, Together, …
    "npm_|pypi-|dckr_pat_|dop_v1_|shp(?:at|ss|ca|pa)_|whsec_|SG[.]|hv[sb][.]|sntry[su]_|lin_api_",
    "eyJ",  # `{"` in base64: a JWT, or what is built as one
)
_KEY: Final = (
    rf"(?<![A-Za-z0-9])(?:{'|'.join(_PREFIXES)})(?:[-_A-Za-z0-9]{{12,}}+|[-_A-Za-z0-9]{{0,11}}+{_BREAK}{_PIECE})"
    rf"(?:[.][-_A-Za-z0-9]++|{_BREAK}{_PIECE})*+"
)

_IS: Final = r"""\\{0,3}["']?\s{0,8}(?::=|=>|[:=])\s{0,8}"""
_NOT: Final = (
    r"(?!\[(?:secret|email)\])(?!(?:null|none|nil|true|false|undefined|missing|required|invalid|expired)\b)"
)


def _value(fewest_quoted: int, bare: str) -> str:
    """In quotes, in the escaped quotes of JSON inside JSON, or bare; what was cut has no closing quote."""
    return (
        rf"""(?:(?<=\\")(?:[^"\\]|\\[^"]){{{fewest_quoted},}}+"""
        rf"""|(?<=")(?<!\\")(?:[^"\\]|\\.){{{fewest_quoted},}}+"""
        rf"""|(?<=')(?:[^'\\]|\\.){{{fewest_quoted},}}+"""
        rf"""|(?<!["']){_NOT}{bare})"""
    )


_NAME: Final = (
    r"(?:api[-_ ]?key|(?:access|account|private|signing|encryption|master|subscription)[-_]?key(?:[-_]?id)?"
    r"|secret(?:[-_]?access)?(?:[-_]?key)?|password|passwd|passphrase|pwd|credential)s?(?: provided)?"
)
_OPEN: Final = r"""(?:\\{0,3}["'])?"""

_BARE: Final = r"""[^\s"',;&]"""
_BROKEN: Final = rf"(?:(?!{_BREAK}){_BARE}){{1,40}}+{_BREAK}{_PIECE}{_ON}"
_LIKE_A_TOKEN: Final = rf"(?:(?:{_MIXED}{_BARE}{{6,}}+|{_BARE}{{20,}}+){_ON}|{_BROKEN})"

_NAMED: Final = rf"(?i)({_NAME}{_IS}{_OPEN})" + _value(1, rf"(?!/)(?:{_BARE}{{4,}}+{_ON}|{_BROKEN})")
_TOKEN: Final = rf"(?i)(token{_IS}{_OPEN})" + _value(8, _LIKE_A_TOKEN)
_TOLD: Final = (
    rf"(?i)\b((?:api[-_ ]?key|token|password|passphrase|secret)\s{{1,8}}(?:is\s{{1,8}}|was\s{{1,8}})?)"
    rf"(?:{_MIXED}{_BARE}{{6,}}+{_ON}|{_BROKEN})"
)
_BEARER: Final = rf"(?i)\b(bearer\s{{1,8}}){_LIKE_A_TOKEN}"
_BASIC: Final = rf"(?i)\b(basic\s{{1,8}})([-_A-Za-z0-9+/.]{{2,}}+={{0,2}}+{_ON})"
_SCHEME: Final = (
    rf"(?i)\b((?:negotiate|ntlm|splunk|hmac)\s{{1,8}}){_MIXED}{_BARE}{{16,}}+{_ON}"
    r"|\b(aws4-hmac-sha256\s{1,8})(?=credential)[^\"'\\\r\n]++"
    r"""|\b(digest\s{1,8})(?:[a-z]{2,12}=(?:\\{0,3}"[^"\\]{0,256}+(?:\\{0,3}")?+|[^\s,"'\\]{1,256}+)(?:,\s{0,8})?){1,12}+"""
)
_HEADER: Final = (
    rf"""(?i)(authorization{_IS}{_OPEN}(?:(?:basic|bearer|token|apikey|negotiate)\s{{1,8}})?+){_NOT}"""
    rf"""(?:aws4-hmac-sha256\s[^"'\\\r\n]++|(?!digest\s)(?:[^\s"'\\,;]{{4,}}+|[^\s"'\\,;]{{1,3}}+{_BREAK}{_PIECE}){_ON})"""
)
_COOKIE: Final = rf"""(?i)(cookie{_IS}{_OPEN}){_NOT}[^"'\\\r\n]{{4,}}+{_ON}"""
_QUERY: Final = rf"(?i)([?&](?:key|sig|signature|x-amz-signature|code)=)(?:[^\s\"'&#]{{6,}}+|[^\s\"'&#]{{1,5}}+{_BREAK}{_PIECE}){_ON}"


def _basic(found: re.Match[str]) -> str:
    """`Basic` without its header may be an ordinary word: what follows tells."""
    return f"{found[1]}[secret]" if _is_credential(found[2]) else found[0]


def _is_credential(text: str) -> bool:
    """Whether it is the base64 of `user:password` (RFC 7617), or at least no word."""
    token = _ANY_BREAK.sub("", text)
    is_mixed = _NO_WORD.match(token) is not None
    if _NOT_BASE64.search(token):
        return is_mixed and len(token) >= 24
    if token.endswith("=") or (is_mixed and len(token) >= 8):
        return True
    try:
        plain = base64.b64decode(token[:64] + "=" * (-len(token[:64]) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return ":" in plain and plain.isprintable()


_ANY_BREAK: Final = re.compile(_BREAK)
_NO_WORD: Final = re.compile(_MIXED)
_NOT_BASE64: Final = re.compile(r"[-_.~]")

_RULES: Final = (
    _Rule(re.compile(_PRIVATE_KEY, re.DOTALL), "[secret]", ("private key",)),
    _Rule(re.compile(_USER_OF_URL), "[secret]@", ("://",)),
    _Rule(re.compile(_HEADER), r"\1[secret]", ("authorization",)),
    _Rule(re.compile(_COOKIE), r"\1[secret]", ("cookie",)),
    _Rule(re.compile(_KEY), "[secret]", ()),
    _Rule(
        re.compile(_NAMED, re.DOTALL),
        r"\1[secret]",
        ("key", "secret", "passw", "passphrase", "pwd", "credential"),
    ),
    _Rule(re.compile(_TOKEN, re.DOTALL), r"\1[secret]", ("token",)),
    _Rule(re.compile(_TOLD), r"\1[secret]", ("key", "token", "password", "passphrase", "secret")),
    _Rule(re.compile(_BEARER), r"\1[secret]", ("bearer",)),
    _Rule(re.compile(_BASIC), _basic, ("basic",)),
    _Rule(
        re.compile(_SCHEME),
        lambda found: f"{found[1] or found[2] or found[3]}[secret]",
        ("negotiate", "ntlm", "splunk", "hmac", "digest"),
    ),
    _Rule(re.compile(_QUERY), r"\1[secret]", ("?", "&")),
    _Rule(re.compile(_EMAIL), "[email]", ("@",)),
    _Rule(re.compile(r"\b\d(?:[ -]?\d){12,18}\b"), "[card]", ()),
    _Rule(
        re.compile(r"(?<![\w.])(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ ().-]{0,2}\d){7,14}(?![\w.])"),
        "[phone]",
        (),
    ),
)


_SECRETS: Final = tuple(rule for rule in _RULES if rule.instead not in ("[email]", "[card]", "[phone]"))

MAY_BE_SECRET: Final = (
    "(?i)"
    + "|".join(dict.fromkeys(re.escape(need) for rule in _SECRETS for need in rule.needs))
    + rf"|(?:^|[^a-z0-9])(?:{'|'.join(_PREFIXES)})"
)
"""RE2, for Arrow: a text that it does not find anything in has no secret. Most texts are told by it in one look."""


def redact(text: str) -> str:
    """Return the text with emails, secrets, card and phone numbers replaced by their kind in brackets.

    Time is linear in the length of the text, whatever it holds: some milliseconds for 100,000 characters.
    """
    return _applied(_RULES, text)


def redact_secrets(text: str) -> str:
    """The same for secrets alone: for texts in which numbers and addresses are what they are there for."""
    return _applied(_SECRETS, text)


def _applied(rules: Sequence[_Rule], text: str) -> str:
    lower = text.lower()
    for rule in rules:
        if not rule.needs or any(need in lower for need in rule.needs):
            text = rule.pattern.sub(rule.instead, text)
    return text
