"""The class of an error and who can mend it, from what an event says of it.

Pure functions of a few words, so a caller asks once for each distinct combination in a batch. A class that
the application states is kept. Otherwise, in this order:

1. words of `error.type` that are specific (a filter, a limit, a credential, a timeout, the network, overload);
2. the HTTP status, also where it stands in `error.type`, as OpenTelemetry writes it;
3. general words (`invalid_request_error`, `api_error`), which providers use beside any status;
4. parts of the message, where nothing above was specific.

The owner is who can mend it:

* `provider`: the request was right and was not served: `server`, `timeout`, `network`, `rate_limit`. What
  lies between application and model counts here, as availability is measured from outside; a rate limit
  passes by itself, while what lasts until somebody acts (`quota`) is the application's.
* `application`: it has to change: `auth`, `quota`, `context_length`, `invalid_request`, its own exceptions,
  and whatever fails in its own stages (`prompt_render`, `context`, `output`, `compliance`).
* `user`: what they entered: `content_filter`, anything wrong while the input is parsed, giving up.

Nothing is guessed: an error that says nothing is `other` and has no owner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from tokentide.schemas.call import ErrorClass, ErrorStage
from tokentide.stream.errors.codes import ABANDONED, BEYOND_STATUS, BUGS, FRAGMENTS, PHRASES, STATUSES, WORDS

Owner = Literal["provider", "application", "user"]

_CLASS_OF_WORD: Final = {
    word: name for name, words in reversed(list(WORDS.items())) for word in words.split()
}
_PRECEDENCE: Final = {name: place for place, name in enumerate(WORDS)}
_FRAGMENTS: Final = [(fragment, name) for name, listed in FRAGMENTS.items() for fragment in listed.split()]
_MAX_TYPE_CHARS: Final = 200  # a name is shorter; a text put in its place costs no more than one
_MAX_MESSAGE_CHARS: Final = 2_000
_GENERAL: Final = frozenset({"server", "invalid_request", "other"})
_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")
_NAME: Final = re.compile(r"[a-zA-Z0-9]_|.[A-Z]|(?:error|exception)$")
_SUFFIX: Final = re.compile(r"(?:error|exception|fault)+$")
_STATUS: Final = re.compile(r"(?<![\w.])[45]\d\d(?![\w.])")

_OWNERS: Final[dict[ErrorClass, Owner]] = {
    "timeout": "provider",
    "server": "provider",
    "network": "provider",
    "rate_limit": "provider",
    "auth": "application",
    "quota": "application",
    "context_length": "application",
    "invalid_request": "application",
    "content_filter": "user",
}
_APPLICATION_STAGES: Final = frozenset({"prompt_render", "context", "output", "compliance"})
_OUTAGES: Final = frozenset({"timeout", "server", "network", "rate_limit"})


class Verdict(NamedTuple):
    """What kind of error it is, and who can mend it; None where nothing tells."""

    error_class: ErrorClass
    owner: Owner | None


def classify(
    http_status: int | None,
    error_type: str | None,
    *,
    stage: ErrorStage | None = None,
    given_class: ErrorClass | None = None,
    message: str | None = None,
) -> Verdict:
    """The verdict on one error; pure, and never raises.

    Args:
        http_status: of the model's answer; 200 where the error came inside an answer.
        error_type: exception name, provider code, or both in one text (`invalid_request_error/model_not_found`).
        stage: where it happened; None counts as the model call.
        given_class: as the application states it; it is kept.
        message: the error's text, used only where status and type say nothing specific.
    """
    name = (error_type or "")[:_MAX_TYPE_CHARS]
    words = list(_words(name))
    found = given_class or _class(http_status, name, words, (message or "")[:_MAX_MESSAGE_CHARS])
    return Verdict(found, _owner(found, stage, http_status, words))


def _class(http_status: int | None, error_type: str, words: list[str], message: str) -> ErrorClass:
    named = _named(words)
    if named is not None and (named not in _GENERAL or not BEYOND_STATUS.isdisjoint(words)):
        return named
    by_status = _of_status(http_status) or _of_status(_status_in(error_type))
    general = by_status or named or "other"
    if by_status is not None and by_status not in _GENERAL:
        return by_status
    return _said(message) or general


def _named(words: list[str]) -> ErrorClass | None:
    """The most telling class among the words; by parts of them when none is known."""
    known = [_CLASS_OF_WORD[word] for word in words if word in _CLASS_OF_WORD]
    if known:
        return min(known, key=lambda name: _PRECEDENCE[name])
    if any(word in ABANDONED or word in BUGS for word in words):
        return None
    joined = "".join(words)
    return next((name for fragment, name in _FRAGMENTS if fragment in joined), None)


def _of_status(status: int | None) -> ErrorClass | None:
    if status is None or status < 400:
        return None
    return STATUSES.get(status) or ("server" if status >= 500 else "invalid_request")


def _status_in(error_type: str) -> int | None:
    found = _STATUS.search(error_type)
    return int(found.group()) if found else None


def _said(message: str) -> ErrorClass | None:
    lowered = message.lower()
    return next((name for phrase, name in PHRASES if phrase in lowered), None)


def _owner(
    found: ErrorClass, stage: ErrorStage | None, http_status: int | None, words: list[str]
) -> Owner | None:
    if http_status == 499 or any(word in ABANDONED for word in words):
        return "user"
    if stage == "input_parse":
        return "application" if found in _OUTAGES else "user"
    if stage in _APPLICATION_STAGES:
        return "user" if found == "content_filter" else "application"
    if found == "other" and any(word in BUGS for word in words):
        return "application"
    return _OWNERS.get(found)


def _words(error_type: str) -> Iterator[str]:
    """The names in a text, most of them one, then all of it as one word.

    Of a dotted path only the end counts (`requests.exceptions.ConnectionError` has nothing to do with
    requests), and of a sentence only what looks like a name (`RateLimitError: the model is busy`).
    """
    is_sentence = " " in error_type.strip()
    parts = [part.rstrip("._-").rpartition(".")[2] for part in _PART.findall(error_type)]
    for part in parts:
        if not is_sentence or _NAME.search(part):
            yield _plain(part)
    if len(parts) > 1:
        yield _plain("".join(parts))


def _plain(name: str) -> str:
    return _SUFFIX.sub("", name.lower().replace("_", "").replace("-", ""))
