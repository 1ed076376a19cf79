"""The example messages beside the schema: what they hold, and the record that each of them is.

`record` is a JSON value; `record_text` a value as it was written, where the way of writing is the point; `record_base64`
bytes that are no text (null: a record without a value). `repeated` makes an array of so many copies,
`padded_to_bytes` adds white space.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

import tokentide.schemas

FOLDER = Path(tokentide.schemas.__file__).parent / "examples"

SENT_MS = 1_769_860_805_000
"""Kafka's time of every example's record: 2026-01-31T12:00:05Z."""


@dataclass(frozen=True)
class Example:
    """One example file."""

    name: str
    content: dict[str, Any]

    @property
    def value(self) -> bytes | None:
        """The record's value."""
        if "record_base64" in self.content:
            encoded = self.content["record_base64"]
            return None if encoded is None else base64.b64decode(encoded)
        text = self.content.get("record_text") or json.dumps(self._record(), ensure_ascii=False)
        return text.encode().ljust(self.content.get("padded_to_bytes", 0))

    def _record(self) -> Any:
        record = self.content["record"]
        return [record] * self.content["repeated"] if "repeated" in self.content else record

    @property
    def items(self) -> list[Any] | None:
        """The parsed items of the record, or None where it is no JSON as a whole."""
        try:
            parsed = from_json(self.value or b"")
        except ValueError:
            return None
        return parsed if isinstance(parsed, list) else [parsed]


def examples(kind: str) -> list[Example]:
    """All `good` or all `bad` ones, by name."""
    return [
        Example(file.stem, json.loads(file.read_text(encoding="utf-8")))
        for file in sorted((FOLDER / kind).glob("*.json"))
    ]
