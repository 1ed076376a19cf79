"""What a call made of parts looks like, in flat columns of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from tokentide.schemas.call import CONTAINMENT
from tokentide.schemas.call import contradiction as numbers_contradict
from tokentide.schemas.limits import MAX_DURATION_MS, MAX_ERROR_MESSAGE, MAX_LABELS
from tokentide.schemas.part import PartType
from tokentide.schemas.problems import Problem
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.batch import Flat

_CONTENT: Final = ("input", "output")
_ASSEMBLED_FROM: Final[Mapping[PartType, str]] = {kind: f"request+{kind}" for kind in get_args(PartType)}
_COMPARED: Final = frozenset(
    ("cache_reporting", *(name for rule in CONTAINMENT for name in (*rule.parts, rule.whole)))
)
_MESSAGE_CHARACTERS: Final = 4 * MAX_ERROR_MESSAGE


def bounded(values: Flat) -> Flat:
    """The columns that a part brings, with no more of an error's message, which the contract does not bound, than scrubbing
    reads of it.
    """
    message = values.get("error_message")
    if isinstance(message, str) and len(message) > _MESSAGE_CHARACTERS:
        return {**values, "error_message": message[:_MESSAGE_CHARACTERS]}
    return values


def merged(earlier: Flat, later: Flat) -> dict[str, object]:
    """Both together; where both know a column, the later one's counts, and of labels each key for itself."""
    both = {**earlier, **later}
    for name in _CONTENT:
        form = f"{name}_is_messages"
        if name in later and form not in later:
            both.pop(form, None)
    first, second = earlier.get("labels"), later.get("labels")
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        both["labels"] = dict([*second.items(), *_others(first, second)][:MAX_LABELS])
    return both


def _others(first: Mapping[str, str], second: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in first.items() if key not in second]


def whole_call(request: Flat, answer: Flat, kind: PartType) -> dict[str, object]:
    """The call of a request and its answer."""
    call = merged(request, answer)
    if "duration_ms" not in call and (between_ms := _between_ms(request, answer)) is not None:
        call["duration_ms"] = between_ms
    if kind == "error":
        call["status"] = answer.get("status", "error")  # whatever its request believed
    call["assembled_from"] = _ASSEMBLED_FROM[kind]
    return call


def lone_answer(answer: Flat, kind: PartType) -> dict[str, object]:
    """The call of an answer whose request never came: what it says was used was used."""
    status = {"status": "error"} if kind == "error" else {}
    return {**status, **answer, "assembled_from": kind, "incomplete": True}


def lone_request(request: Flat, waited_ms: int) -> dict[str, object]:
    """The call of a request whose answer never came: it failed, when it was given up. How long it took, nobody knows."""
    return _failed(request, waited_ms, "timeout", "no_answer")


def crowded_out_request(request: Flat, waited_ms: int) -> dict[str, object]:
    """The call of a request that was given up early, for want of room: whether it failed, nobody knows."""
    return _failed(request, waited_ms, "other", "crowded_out")


def _failed(request: Flat, waited_ms: int, error_class: str, error_type: str) -> dict[str, object]:
    timestamp_us = request["timestamp"]
    assert isinstance(timestamp_us, int)
    call: dict[str, object] = {
        "status": "error",
        **request,
        "timestamp": timestamp_us + waited_ms * 1_000,
        "assembled_from": "request",
        "incomplete": True,
    }
    if call["status"] == "error":
        call = {"error_class": error_class, "error_type": error_type, **call}
    return call


def contradiction(earlier: Flat, later: Flat, both: Flat) -> Problem | None:
    """What cannot be of two parts together, each of which can (`CallEvent` checks the same within one); `both` is what they make."""
    if not (earlier.keys() & _COMPARED and later.keys() & _COMPARED):
        return None  # all numbers that could contradict each other are of one part
    text = numbers_contradict(both.get)
    if text is None:
        return None
    return Problem(
        RejectReason.INCONSISTENT,
        f"{text}, once the parts of this request_id are joined; send these numbers in the same part",
    )


def _between_ms(request: Flat, answer: Flat) -> float | None:
    began_us, ended_us = request["timestamp"], answer["timestamp"]
    assert isinstance(began_us, int)
    assert isinstance(ended_us, int)
    between_ms = (ended_us - began_us) / 1_000
    return between_ms if 0 <= between_ms <= MAX_DURATION_MS else None
