"""Function definitions as the text that OpenAI puts before the model.

OpenAI does not publish how `functions` and `tools` become prompt tokens. That they are written as TypeScript
declarations was found by experiment (hmarr/openai-chat-tokens, niieani/gpt-tokenizer; both MIT). This module
is written anew from those findings and from recorded calls, which add two: in the `tools` form a function
without any described property stands on one line, and `const` and unknown keywords are left out.

Owns the text only; `chat.py` counts it. Schemas are the application's and may be anything: what is not
understood becomes `any`, nothing raises, and depth is limited.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_MAX_LEVELS: Final = 64
_COMMENTED_OBJECTS: Final = 1  # comments of nested objects' properties are not shown


class _Place(NamedTuple):
    """Where in a schema: objects around it (the indentation) and levels of any kind (the depth limit)."""

    objects: int
    levels: int


_TOP: Final = _Place(0, 0)


def declarations(tools: Sequence[Mapping[str, object]]) -> str:
    """The namespace that declares `tools`: `functions` entries, `tools` entries or Anthropic's form.

    Args:
        tools: `{"name", "description"?, "parameters"?}`, the same under `"function"`, or with
            `"input_schema"` for `"parameters"`; others are skipped.
    """
    lines = ["namespace functions {", ""]
    for tool in tools:
        wrapped = as_mapping(tool.get("function"))
        function = wrapped or tool
        name = function.get("name")
        if not isinstance(name, str):
            continue
        if description := function.get("description"):
            lines.append(f"// {description}")
        schema = as_mapping(function.get("parameters")) or as_mapping(function.get("input_schema"))
        lines += [f"type {name} = {_signature(schema, may_be_inline=bool(wrapped))}", ""]
    lines.append("} // namespace functions")
    return "\n".join(lines)


def as_mapping(value: object) -> Mapping[str, object]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _signature(schema: Mapping[str, object], *, may_be_inline: bool) -> str:
    properties = as_mapping(schema.get("properties"))
    if not properties:
        return "() => any;"
    if may_be_inline and not any(as_mapping(prop).get("description") for prop in properties.values()):
        members = ", ".join(_member(schema, name, prop, _TOP) for name, prop in properties.items())
        return f"(_: {{ {members} }}) => any;"
    return "(_: {\n" + _members(schema, _TOP) + "\n}) => any;"


def _members(schema: Mapping[str, object], at: _Place) -> str:
    lines: list[str] = []
    for name, prop in as_mapping(schema.get("properties")).items():
        description = as_mapping(prop).get("description")
        if description and at.objects < _COMMENTED_OBJECTS:
            lines.append(f"// {description}")
        lines.append(_member(schema, name, prop, at) + ",")
    return "\n".join("  " * at.objects + line for line in lines)


def _member(schema: Mapping[str, object], name: str, prop: object, at: _Place) -> str:
    required = schema.get("required")
    is_required = isinstance(required, Sequence) and name in required
    return f"{name}{'' if is_required else '?'}: {_type(as_mapping(prop), at)}"


def _type(schema: Mapping[str, object], at: _Place) -> str:
    if at.levels > _MAX_LEVELS:
        return "any"
    below = _Place(at.objects, at.levels + 1)
    any_of = schema.get("anyOf")
    if isinstance(any_of, Sequence):
        return " | ".join(_type(as_mapping(one), below) for one in any_of)
    match schema.get("type"):
        case "string" | "number" | "integer" as kind:
            return _choices(schema.get("enum")) or ("string" if kind == "string" else "number")
        case "boolean" | "null" as kind:
            return str(kind)
        case "array":
            items = as_mapping(schema.get("items"))
            return f"{_type(items, below)}[]" if items else "any[]"
        case "object":
            return "{\n" + _members(schema, _Place(at.objects + 1, at.levels + 1)) + "\n}"
        case _:
            return "any"


def _choices(enum: object) -> str:
    if not isinstance(enum, Sequence) or isinstance(enum, str):
        return ""
    return " | ".join(json.dumps(value, ensure_ascii=False) for value in enum)
