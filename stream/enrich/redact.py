"""Redaction of text that may be stored: addresses, numbers and keys that identify people or open doors.

Patterns, not understanding: they catch the common written forms and are no proof that a text is harmless.
"""

from __future__ import annotations

import re
from typing import Final

_PATTERNS: Final = (
    ("[email]", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")),
    (
        "[secret]",
        re.compile(
            r"\b(?:sk|pk|rk|ghp|gho|ghs|xox[abps]|AKIA|ASIA|AIza|eyJ)[-_A-Za-z0-9]{12,}(?:\.[-_A-Za-z0-9]+)*"
        ),
    ),
    (
        "[secret]",
        re.compile(r"(?i)\b(?:bearer|api[-_ ]?key|token|password|secret)\b\s*[:=]?\s*[\"']?[^\s\"',;]{6,}"),
    ),
    ("[card]", re.compile(r"\b\d(?:[ -]?\d){12,18}\b")),
    ("[phone]", re.compile(r"(?<![\w.])\+?\d(?:[ ().-]{0,2}\d){7,14}(?![\w.])")),
)


def redact(text: str) -> str:
    """Return the text with emails, secrets, card and phone numbers replaced by their kind in brackets."""
    for kind, pattern in _PATTERNS:
        text = pattern.sub(kind, text)
    return text
