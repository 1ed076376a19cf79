"""From the application's dictionary to the bytes of one JSON object: compact, UTF-8, without raw newlines.

The bytes are made in the caller's thread, because they are the snapshot: what the application does to
its dictionary afterwards cannot reach them. pydantic's serializer does it in about two microseconds. Large texts are looked at
first (`event_size`): what is over the size limit is never written, and what is not is written and searched once.

What cannot be written as JSON is mended where its meaning is plain (NaN and infinity are unknown
numbers, a lone surrogate is a broken character, an event over the size limit goes without its texts) and
refused otherwise. Whether the numbers make sense is the worker's to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from types import GeneratorType
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_core import to_json

from tokentide.producers.errors import EventError
from tokentide.producers.event_size import look
from tokentide.producers.rfc3339 import rfc3339
from tokentide.producers.uuid7 import uuid7
from tokentide.schemas.limits import MAX_DEPTH, MAX_RECORD_BYTES

if TYPE_CHECKING:
    from tokentide.schemas.call import CallEvent
    from tokentide.schemas.evaluation import EvaluationEvent

# The serializer prepares itself at its first use, under a lock of its own. Were a process forked while
# another thread is in there, the child would wait for ever; so the first use is here.
to_json({})

_NEVER_NULL: Final = ("environment", "region", "event_type", "schema_version")
"""Fields with a default, which the contract does not allow to be null; null here means "not given"."""
_TEXTS: Final = ("input", "output")
_LONG: Final = (*_TEXTS, "error")
"""Fields that the contract does not bound, and that the application may not know the length of."""
_LARGE_CHARACTERS: Final = 8192
_AMOUNTS: Final = ("cost_usd", "infra_cost_usd")


class Encoded(NamedTuple):
    """One event, ready to be packed."""

    value: bytes
    mended: str | None = None
    """Which field was mended and how, for the log; never its value."""


class EventEncoder:
    """Fills in what the producer knows and writes JSON.

    Args:
        defaults: fields of every event that does not have them itself, such as `service`.
        labels: pairs that every event carries; those of the event win.
        time_ns: the wall clock, nanoseconds since 1970.
        max_bytes: the largest event; larger ones lose `input` and `output`, or are refused.
    """

    def __init__(
        self,
        defaults: Mapping[str, object],
        labels: Mapping[str, str],
        *,
        time_ns: Callable[[], int],
        max_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        self._time_ns = time_ns
        self._max_bytes = max_bytes
        self._labels = dict(labels)
        self._defaults = tuple((name, value) for name, value in defaults.items() if value is not None)

    def encode(self, event: Mapping[str, object] | CallEvent | EvaluationEvent) -> Encoded:
        """Return the event's bytes; the argument is not changed and not kept.

        Raises:
            EventError: it is no mapping, has no service, or holds something that JSON cannot.
        """
        fields = dict(event if isinstance(event, dict) else _as_mapping(event))
        self._fill(fields)
        for name in _LONG:
            value = fields.get(name)
            if value is not None and (value.__class__ is not str or len(value) > _LARGE_CHARACTERS):
                return self._looked_at(fields)
        return self._written(fields)

    def _written(self, fields: dict[str, object]) -> Encoded:
        try:
            value = to_json(fields, fallback=_scalar)
        except Exception:  # noqa: BLE001 - the application's objects may raise anything; told in mending
            return self._mended(fields)
        if len(value) > self._max_bytes:
            return self._without_texts(fields)
        if b"NaN" in value or b"Infinity" in value:
            return self._mended(fields)
        return Encoded(value)

    def _looked_at(self, fields: dict[str, object]) -> Encoded:
        """An event with long texts, or with messages: nothing that is over the limit is written."""
        looks = {name: look(fields[name], self._max_bytes) for name in _LONG if name in fields}
        size = sum(found.least_bytes for found in looks.values())
        if size > self._max_bytes:
            return self._without_texts(fields)
        if size <= _LARGE_CHARACTERS:
            return self._written(fields)
        texts = {name: fields[name] for name in _TEXTS if name in fields}
        if not all(looks[name].is_plain for name in texts):
            return self._written(fields)
        # In texts there are no numbers to search for, and the search takes longer than the writing.
        rest = self._written({name: value for name, value in fields.items() if name not in texts})
        try:
            pieces = [rest.value[:-1]]
            for name, value in texts.items():
                pieces += (b',"%b":' % name.encode(), to_json(value))
        except Exception:  # noqa: BLE001 - as above
            return self._mended(fields)
        if sum(map(len, pieces)) >= self._max_bytes:
            return self._without_texts(fields)
        return Encoded(b"".join([*pieces, b"}"]), rest.mended)

    def _without_texts(self, fields: dict[str, object]) -> Encoded:
        """An event over the size limit: without the texts, or not at all."""
        left_out = [name for name in _TEXTS if fields.get(name) is not None]
        rest = {name: value for name, value in fields.items() if name not in left_out}
        sizes = {name: look(value, self._max_bytes).least_bytes for name, value in rest.items()}
        if sum(sizes.values()) > self._max_bytes:
            raise self._too_large(sizes)
        encoded = self._mended(rest)
        if not left_out:
            return encoded
        return Encoded(encoded.value, f"{left_out[0]}: left out: the event is over the size limit with it")

    def _too_large(self, sizes: Mapping[str, int]) -> EventError:
        largest = max(sizes, key=sizes.__getitem__)
        return EventError(largest, f"makes the event larger than {self._max_bytes} bytes; shorten it")

    def _fill(self, fields: dict[str, object]) -> None:
        get = fields.get  # this runs once per event in the application's own thread: no detours
        now_ns = self._time_ns()
        if not get("event_id"):
            fields["event_id"] = uuid7(now_ns)
        timestamp = get("timestamp")
        if timestamp is None:
            fields["timestamp"] = rfc3339(now_ns // 1000)
        elif isinstance(timestamp, datetime) and timestamp.tzinfo is None:
            raise EventError("timestamp", "has no zone; use datetime.now(UTC)")
        for name, value in self._defaults:
            if get(name) is None:
                fields[name] = value  # noqa: PERF403 - no dictionary to throw away per event
        if not get("service"):
            raise EventError("service", "is required and missing; set it on the producer or on the event")
        for name in _NEVER_NULL:
            if get(name, name) is None:
                del fields[name]
        for name in _AMOUNTS:
            amount = get(name)
            if isinstance(amount, Decimal) and amount.is_finite():
                fields[name] = format(amount, "f")  # the serializer would write 1E-7
        for name in _TEXTS:
            if get(name).__class__ is GeneratorType:
                # Writing it would use it up, and the application still wants to read it.
                raise EventError(name, "is a generator; pass the text or the list of messages")
        if self._labels:
            fields["labels"] = self._with_labels(get("labels"))

    def _with_labels(self, own: object) -> object:
        if own is None:
            return self._labels
        return {**self._labels, **own} if isinstance(own, Mapping) else own

    def _mended(self, fields: dict[str, object]) -> Encoded:
        """The slow way, for the rare event that the fast way refuses: field by field."""
        mender = _Mender()
        clean = {name: mender.mend(str(name), value) for name, value in fields.items()}
        value = to_json(clean, fallback=_scalar)
        if len(value) <= self._max_bytes:
            return Encoded(value, mender.first)
        if any(clean.get(name) is not None for name in _TEXTS):
            return self._without_texts(clean)
        raise self._too_large({name: len(to_json(inner, fallback=_scalar)) for name, inner in clean.items()})


class _Mender:
    """Copies a value, with unknown numbers for impossible ones and whole characters for broken ones."""

    def __init__(self) -> None:
        self.first: str | None = None

    def say(self, field: str, what: str) -> None:
        self.first = self.first or f"{field}: {what}"

    def mend(self, field: str, value: object, depth: int = 1) -> object:
        if depth > MAX_DEPTH:
            raise EventError(field, f"is nested deeper than {MAX_DEPTH} levels or contains itself")
        match value:
            case float():
                return value if math.isfinite(value) else self._unknown(field)
            case Decimal():
                return format(value, "f") if value.is_finite() else self._unknown(field)
            case str():
                return value if _is_whole(value) else self._whole(field, value)
            case bytes():
                return value.decode("utf-8", "replace")
            case Mapping():
                return {_key(field, key): self.mend(field, item, depth + 1) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.mend(field, item, depth + 1) for item in value]
            case _:
                return self._other(field, value)

    def _unknown(self, field: str) -> object:
        self.say(field, "is not a finite number; sent as unknown")
        return None

    def _whole(self, field: str, broken: str) -> str:
        self.say(field, "holds a broken character (a lone surrogate); replaced")
        # By way of UTF-16, so that the two halves of one character find each other again.
        return broken.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _other(self, field: str, value: object) -> object:
        try:
            to_json(value, fallback=_scalar)
        except Exception as error:
            raise EventError(field, f"holds a {type(value).__name__}, which JSON cannot") from error
        return value


def _key(field: str, key: object) -> str:
    text = key if isinstance(key, str) else str(key)
    if not _is_whole(text):
        raise EventError(field, "holds a name with a broken character (a lone surrogate)")
    return text


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _scalar(value: object) -> object:
    """Turn one number of numpy, torch and their like into Python's."""
    item = getattr(value, "item", None)
    if callable(item):
        number = item()
        if isinstance(number, bool | int | float | str):
            return number
    raise TypeError(type(value).__name__)


def _as_mapping(event: object) -> Mapping[str, object]:
    if isinstance(event, Mapping):
        return event
    dump = getattr(event, "model_dump", None)
    if dump is None:
        raise EventError("", f"an event is a dictionary or a CallEvent, not a {type(event).__name__}")
    fields: dict[str, object] = dump(by_alias=True, exclude_none=True)
    timestamp = fields.get("timestamp")
    if isinstance(timestamp, int):  # the model holds microseconds, which the wire does not know
        fields["timestamp"] = rfc3339(timestamp)
    return fields
