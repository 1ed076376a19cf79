"""Counting the tokens of an answer.

For models of the cl100k family the count of the text is the API's figure. For o200k models the API reports
the same or one more (the token that ends the answer), and nothing in a call says which: 23 of 47 recorded
answers have it. The text is what is counted here. Reasoning models bill what they thought as output too;
nobody outside sees it, so their count is an estimate from below.

Calls of functions are counted as recorded ones were billed: 7 tokens, the name and the compact arguments
for one call (8 in a third of the cases), 7 and 10 a call for several in parallel; always an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tokentide.stream.tokens.chat import Message, Tally, add_content, compact, legacy_call, tool_calls
from tokentide.stream.tokens.counts import TokenCount
from tokentide.stream.tokens.definitions import as_mapping
from tokentide.stream.tokens.memory import TokenMemory
from tokentide.stream.tokens.models import tokenizer_of

_CALLS: Final = 7
_PARALLEL_CALL: Final = 10


def count_completion(
    output: str | Message | Sequence[Message], model: str | None, *, memory: TokenMemory | None = None
) -> TokenCount:
    """Output tokens of an answer. Never raises for any decoded JSON.

    Args:
        output: the answer's text, its message, or several messages (a call with `n` > 1).
        model: the model's name as in the event; None counts as unknown.
        memory: remembers counts of texts from one call to the next.

    Raises:
        RankFileError: the bundled rank files are damaged (see `ranks.py`).
    """
    tally = Tally(tokenizer_of(model), memory)
    if isinstance(output, str):
        _add_answer(tally, {"content": output})
    elif isinstance(output, Mapping):
        _add_answer(tally, output)
    else:
        for message in output:
            _add_answer(tally, as_mapping(message))
    return tally.result(is_framing_exact=not tally.tokenizer.hides_reasoning)


def _add_answer(tally: Tally, message: Message) -> None:
    tally.add(tally.tokenizer.framing.answer)
    add_content(tally, message["parts"] if "parts" in message else message.get("content"))
    calls = list(tool_calls(message))
    if legacy := legacy_call(message):
        calls.append(legacy)
    if not calls:
        return
    tally.estimate()
    tally.add(_CALLS if len(calls) == 1 else _CALLS + _PARALLEL_CALL * len(calls))
    for call in calls:
        tally.text(call.name)
        tally.text(compact(call.arguments) if len(calls) == 1 else call.arguments)
