"""Redaction of text that may be stored: addresses, numbers and keys that identify people or open doors.

Patterns, not understanding: they catch the common written forms and are no proof that a text is harmless. A value is taken for
a secret by its own form (the prefixes that providers give their keys) or by the name before it (`password=`, `"api_key":`);
the name stays, so that the message can still be read. What merely speaks of tokens and passwords stays too.

Forms of keys are the providers' own: GitHub, "About authentication to GitHub" (`ghp_`, `github_pat_`, …); GitLab, "Token
overview" (`glpat-`, …); AWS, "IAM identifiers" (`AKIA`, `ASIA`, …); Slack, "Tokens" (`xoxb-`, `xapp-`, …); RFC 7519 (JWT), RFC
7468 (PEM), RFC 3986 section 3.2.1 (`user:password@host`), RFC 7617 and 6750 (`Basic`, `Bearer`). Which of them leak most is
seen in the rules of gitleaks and detect-secrets.

Running time is linear in the text, hostile or not: what repeats without bound gives nothing back (`++`, `*+`) and begins only
where the character before it could not have belonged to it; everything else is bounded.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class _Rule(NamedTuple):
    """A pattern and what takes its place."""

    pattern: re.Pattern[str]
    instead: str
    needs: tuple[str, ...]
    """Lower-case texts without one of which it cannot match: looking for these is many times as fast."""


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
_KEY: Final = rf"(?<![A-Za-z0-9])(?:{'|'.join(_PREFIXES)})[-_A-Za-z0-9]{{12,}}+(?:[.][-_A-Za-z0-9]++)*+"

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
_MIXED: Final = r"(?=[A-Za-z_.~+/=-]{0,64}\d)(?=[\d_.~+/=-]{0,64}[A-Za-z])"
"""Letters and digits: no word of a sentence."""
_OPEN: Final = r"""(?:\\{0,3}["'])?"""

_NAMED: Final = rf"(?i)({_NAME}{_IS}{_OPEN})" + _value(1, r"""(?!/)[^\s"',;&]{4,}+""")
_TOKEN: Final = rf"(?i)(token{_IS}{_OPEN})" + _value(
    8, rf"""(?:{_MIXED}[^\s"',;&]{{6,}}+|[^\s"',;&]{{20,}}+)"""
)
_TOLD: Final = (
    rf"(?i)\b((?:api[-_ ]?key|token|password|passphrase|secret)\s{{1,8}}(?:is\s{{1,8}}|was\s{{1,8}})?)"
    rf"""{_MIXED}[^\s"',;&]{{6,}}+"""
)
_BEARER: Final = rf"""(?i)\b(bearer\s{{1,8}})(?:{_MIXED}[^\s"',;&]{{6,}}+|[^\s"',;&]{{20,}}+)"""
_HEADER: Final = (
    rf"""(?i)(authorization{_IS}{_OPEN}(?:(?:basic|bearer|token|apikey|negotiate)\s{{1,8}})?+)"""
    rf"""{_NOT}(?:(?:digest|aws4-hmac-sha256)\s[^"'\\\r\n]++|[^\s"'\\,;]{{4,}}+)"""
)
_COOKIE: Final = rf"""(?i)(cookie{_IS}{_OPEN}){_NOT}[^"'\\\r\n]{{4,}}+"""
_QUERY: Final = r"(?i)([?&](?:key|sig|signature|x-amz-signature|code)=)[^\s\"'&#]{6,}+"

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
    _Rule(re.compile(_QUERY), r"\1[secret]", ("?", "&")),
    _Rule(re.compile(_EMAIL), "[email]", ("@",)),
    _Rule(re.compile(r"\b\d(?:[ -]?\d){12,18}\b"), "[card]", ()),
    _Rule(
        re.compile(r"(?<![\w.])(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ ().-]{0,2}\d){7,14}(?![\w.])"),
        "[phone]",
        (),
    ),
)


def redact(text: str) -> str:
    """Return the text with emails, secrets, card and phone numbers replaced by their kind in brackets.

    Time is linear in the length of the text, whatever it holds: some milliseconds for 100,000 characters.
    """
    lower = text.lower()
    for rule in _RULES:
        if not rule.needs or any(need in lower for need in rule.needs):
            text = rule.pattern.sub(rule.instead, text)
    return text
