"""Counting the tokens of a chat prompt: the texts, and what the provider adds around them.

Owns: the formula over messages and tools, and what of it is only an estimate. Framing figures per model
family are in `models.py`, the text of tool definitions in `definitions.py`.

The formula for messages alone equals the API's figure in all 98 cases with API counts of the public test
set and in all 139 recorded calls of text alone. With tools it is equal in all 34 published cases and all 54
recorded calls, but it is inferred, not documented, so such counts are `estimated`:

* 9 tokens around the definitions, 4 fewer when there is a system or developer message, which then also
  ends in a line feed; 1 for `tool_choice` "none"; 4 and the name for a required function.
* a call in an assistant message: 3, its name and its arguments (of `tool_calls` as compact JSON, of the
  older `function_call` as they are);
* a `tool` message: 2 and the name of the function that it answers; a `function` message 2 fewer than another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeGuard

from tokentide.stream.tokens.counts import TokenCount
from tokentide.stream.tokens.definitions import as_mapping, declarations
from tokentide.stream.tokens.memory import TokenMemory
from tokentide.stream.tokens.models import Tokenizer, tokenizer_of
from tokentide.stream.tokens.text import raw_count, scaled

Message = Mapping[str, object]
"""One message as decoded JSON: `role`, `content` (text, parts or null), and `name`, `tool_calls`,
`tool_call_id`, `function_call` where the application has them. Anything else is ignored."""

_SYSTEM_ROLES: Final = ("system", "developer")
_DEFINITIONS: Final = 9
_SYSTEM_SHARED: Final = 4
_CHOICE_NONE: Final = 1
_CHOICE_NAMED: Final = 4
_CALL: Final = 3
_TOOL_MESSAGE: Final = 2
_FUNCTION_MESSAGE: Final = -2


def count_messages(
    messages: Sequence[Message],
    model: str | None,
    *,
    tools: Sequence[Mapping[str, object]] = (),
    tool_choice: object = None,
    memory: TokenMemory | None = None,
) -> TokenCount:
    """Prompt tokens of a chat call. Never raises for any decoded JSON.

    Images, audio and files cannot be counted from outside: they add nothing and make the count `estimated`.

    Args:
        messages: in order.
        model: the model's name as in the event; None counts as unknown.
        tools: `tools` or `functions` of the request.
        tool_choice: `tool_choice` or `function_call` of the request.
        memory: remembers counts of texts from one call to the next.

    Raises:
        RankFileError: the bundled rank files are damaged (see `ranks.py`).
    """
    tally = Tally(tokenizer_of(model), memory)
    framing = tally.tokenizer.framing
    tally.add(framing.reply)
    is_padded = not tools
    messages = [as_mapping(message) for message in messages]
    called = _called_names(messages)
    for message in messages:
        is_system = message.get("role") in _SYSTEM_ROLES
        _add_message(tally, message, called, pad="" if is_padded or not is_system else "\n")
        is_padded = is_padded or is_system
    _add_tools(tally, tools, tool_choice, has_system=any(m.get("role") in _SYSTEM_ROLES for m in messages))
    return tally.result(is_framing_exact=framing.is_recorded)


class FunctionCall(NamedTuple):
    """A call that a model asked for; `arguments` is JSON as given."""

    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Tally:
    """Tokens summed up so far: texts apart from framing, because only texts are scaled."""

    tokenizer: Tokenizer
    memory: TokenMemory | None
    text_tokens: int = 0
    other_tokens: int = 0
    is_exact: bool = True

    def text(self, text: str) -> None:
        """Add the tokens of a text."""
        tokens, is_exact = raw_count(text, self.tokenizer, self.memory)
        self.text_tokens += tokens
        self.is_exact = self.is_exact and is_exact

    def add(self, tokens: int) -> None:
        """Add tokens of the framing."""
        self.other_tokens += tokens

    def estimate(self) -> None:
        """Mark the sum as an estimate."""
        self.is_exact = False

    def result(self, *, is_framing_exact: bool) -> TokenCount:
        """The sum, never below zero."""
        is_counted = self.is_exact and is_framing_exact and self.tokenizer.is_own
        tokens = max(0, scaled(self.text_tokens, self.tokenizer) + self.other_tokens)
        return TokenCount(tokens, "counted" if is_counted else "estimated", self.tokenizer.encoding)


def add_content(tally: Tally, content: object, *, pad: str = "") -> None:
    """Add what `content` says: text, parts, or nothing; parts that are no text make it an estimate."""
    if content is None:
        return
    if isinstance(content, str):
        tally.text(content + pad)
        return
    if not isinstance(content, Sequence):
        tally.estimate()
        return
    for part in content:
        text = _part_text(part)
        if text is None:
            tally.estimate()
        else:
            tally.text(text)


def tool_calls(message: Message) -> Iterator[FunctionCall]:
    """The functions that an assistant message calls in its `tool_calls`."""
    calls = message.get("tool_calls")
    if _is_list(calls):
        for call in map(as_mapping, calls):
            yield _function_call(str(call.get("id")), as_mapping(call.get("function")))


def legacy_call(message: Message) -> FunctionCall | None:
    """The function that an assistant message calls in its `function_call`, the form before tools."""
    function = as_mapping(message.get("function_call"))
    return _function_call("", function) if function else None


def compact(arguments: str) -> str:
    """JSON without spaces, as the model reads it; what is no JSON stays as it is."""
    try:
        return dumped(json.loads(arguments))
    except (ValueError, RecursionError):
        return arguments


def dumped(value: object) -> str:
    """A decoded value as compact JSON; null is nothing."""
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _add_message(tally: Tally, message: Message, called: Mapping[str, str], *, pad: str) -> None:
    framing = tally.tokenizer.framing
    role = message.get("role")
    tally.add(framing.per_message)
    if isinstance(role, str):
        tally.text(role)
    else:
        tally.estimate()
    add_content(tally, message["parts"] if "parts" in message else message.get("content"), pad=pad)
    if isinstance(name := message.get("name"), str) and name:
        tally.text(name)
        tally.add(framing.per_name)
    for call in tool_calls(message):
        _add_call(tally, call.name, compact(call.arguments))
    if legacy := legacy_call(message):
        _add_call(tally, legacy.name, legacy.arguments)
    if role == "tool":
        tally.add(_TOOL_MESSAGE)
        tally.text(called.get(str(message.get("tool_call_id")), ""))
        tally.estimate()
    elif role == "function":
        tally.add(_FUNCTION_MESSAGE)
        tally.estimate()


def _add_call(tally: Tally, name: str, arguments: str) -> None:
    tally.add(_CALL)
    tally.text(name)
    tally.text(arguments)
    tally.estimate()


def _add_tools(
    tally: Tally, tools: Sequence[Mapping[str, object]], tool_choice: object, *, has_system: bool
) -> None:
    if tools:
        tally.text(declarations(tools))
        tally.add(_DEFINITIONS - (_SYSTEM_SHARED if has_system else 0))
        tally.estimate()
    if tool_choice == "none":
        tally.add(_CHOICE_NONE)
    elif choice := as_mapping(tool_choice):
        name = choice.get("name") or as_mapping(choice.get("function")).get("name")
        if isinstance(name, str):
            tally.text(name)
            tally.add(_CHOICE_NAMED)


def _called_names(messages: Sequence[Message]) -> dict[str, str]:
    return {call.id: call.name for message in messages for call in tool_calls(message)}


def _function_call(call_id: str, function: Mapping[str, object]) -> FunctionCall:
    arguments = function.get("arguments")
    as_json = arguments if isinstance(arguments, str) else dumped(arguments)
    return FunctionCall(call_id, str(function.get("name") or ""), as_json)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _part_text(part: object) -> str | None:
    """The text of a content part: OpenAI's, Anthropic's (`text`) or OpenTelemetry's form (`content`)."""
    if isinstance(part, str):
        return part
    fields = as_mapping(part)
    for key in ("text", "content", "refusal"):
        if isinstance(text := fields.get(key), str):
            return text
    return None
