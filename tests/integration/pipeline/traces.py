"""The public traces: where they are, and what they hold by a count of their own, with nothing of the product's."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Totals(NamedTuple):
    """The sums of one trace."""

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int


class Trace(NamedTuple):
    """A trace and how to count it."""

    format: str
    file: str
    input_column: str
    output_column: str
    is_error: Callable[[Row], bool] = lambda _: False
    needs_order: bool = False
    """Whether what a row says depends on those before it."""

    def path(self, folder: Path) -> Path:
        """Where it is."""
        return folder / self.file

    def mixed_lines(self, folder: Path) -> list[bytes]:
        """The file's lines in an order that has every minute everywhere, where that is allowed.

        What is sent before a kill and what is sent after it then meet in the same windows.
        """
        lines = _bytes(self.path(folder)).splitlines(keepends=True)
        head, rows = (lines[:1], lines[1:]) if ".csv" in self.file else ([], lines)
        rows[-1] = rows[-1].removesuffix(b"\n") + b"\n"
        if not self.needs_order:
            random.Random(5).shuffle(rows)
        return [*head, *rows]

    def totals(self, folder: Path) -> Totals:
        """Count all rows."""
        rows = list(rows_of(self.path(folder)))
        return Totals(
            calls=len(rows),
            errors=sum(self.is_error(row) for row in rows),
            input_tokens=sum(int(row[self.input_column] or 0) for row in rows),
            output_tokens=sum(int(row[self.output_column] or 0) for row in rows),
        )


AZURE = Trace(
    "azure-llm-2023", "azure2023/AzureLLMInferenceTrace_code.csv", "ContextTokens", "GeneratedTokens"
)
BURSTGPT = Trace(
    "burstgpt", "burstgpt/BurstGPT_1_days0-3.csv.gz", "Request tokens", "Response tokens",
    is_error=lambda row: int(row["Response tokens"]) == 0,
)  # fmt: skip
MOONCAKE = Trace(
    "mooncake",
    "mooncake/conversation_trace_min00-30.jsonl.gz",
    "input_length",
    "output_length",
    needs_order=True,
)
RAGPULSE = Trace("ragpulse", "ragpulse/0_trace_days0-3.jsonl.gz", "input_length", "output_length")
EXGENTIC = Trace(
    "otel-spans", "agent_spans/exgentic_swebench_spans_A.jsonl.gz", "input_tokens", "output_tokens",
    is_error=lambda row: bool(row["is_error"]),
)  # fmt: skip
CLAUDE_CODE = Trace(
    "claude-code", "agent_spans/claude_code_turns_A.jsonl.gz", "input_tokens", "output_tokens"
)


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or of JSON lines, plain or gzip."""
    lines = _bytes(path).decode().splitlines()
    if ".csv" in path.name:
        yield from csv.DictReader(lines)
    else:
        yield from (json.loads(line) for line in lines)


def _bytes(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
