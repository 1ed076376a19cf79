"""Dead letters: refusals with all that is needed to find the record, mend it and send it again."""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from tokentide.schemas.rejects import DeadLetter, RejectReason
from tokentide.stream.decode.batch import Refusal

_VALIDATE_REASONS = frozenset({RejectReason.CLOCK, RejectReason.INCONSISTENT})


class LetterPolicy(NamedTuple):
    """What is kept of the refused bytes."""

    keep_bytes: int = 262_144
    """At most so many; the rest is cut and the letter says so."""
    hash_only: bool = False


class RecordPlace(NamedTuple):
    """Where a refused record stands."""

    source: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None


def dead_letter(refusal: Refusal, place: RecordPlace, policy: LetterPolicy) -> DeadLetter:
    """Return the letter; the same input gives the same letter."""
    value = refusal.value
    keep = value is not None and not policy.hash_only
    return DeadLetter(
        reason=refusal.problem.reason,
        step="validate" if refusal.problem.reason in _VALIDATE_REASONS else "decode",
        error=refusal.problem.error,
        field=refusal.problem.field,
        source=place.source,
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
        index=refusal.item,
        record_timestamp_ms=place.timestamp_ms,
        value_base64=_base64(value[: policy.keep_bytes]) if value is not None and keep else None,
        value_bytes=None if value is None else len(value),
        value_sha256=None if value is None else hashlib.sha256(value).hexdigest(),
        truncated=value is not None and keep and len(value) > policy.keep_bytes,
        key_base64=None if place.key is None or policy.hash_only else _base64(place.key[:1024]),
    )


def letter_key(letter: DeadLetter) -> bytes:
    """The key of a letter's message: its identity."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}/{letter.index}".encode()


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
