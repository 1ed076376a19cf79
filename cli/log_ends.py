"""The end of a worker's log for a terminal: the one line that tells most, in place of a page of JSON.

Messages of `tokentide.embedded` quote the ends of logs with a bar before each line. Lines that are no JSON, as the broker
writes them or Python its tracebacks, stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from tokentide.cli.terminal import clipped, printable

MOST_CHARACTERS: Final = 300
_BAR: Final = "  | "
_HEAD: Final = re.compile(r" The end of (?P<file>.+):$")
_SEVERITY: Final = {"critical": 3, "error": 3, "warning": 2}
_REASONS: Final = ("error", "reason", "exception", "summary")
"""Fields that say more than the event's name, the best first; of a traceback the last line does."""


def with_readable_log(message: str) -> str:
    """The message with the most severe of its quoted JSON lines alone, the last of several, and where the log is."""
    lines = message.splitlines()
    parsed = [_parsed(line) for line in lines]
    entries = [entry for entry in parsed if entry is not None]
    if not entries:
        return message
    kept = [line for line, entry in zip(lines, parsed, strict=True) if entry is None]
    at = next(number for number, entry in enumerate(parsed) if entry is not None)
    kept[:at] = [_HEAD.sub(r" Its log is \g<file>:", line) for line in kept[:at]]
    kept.insert(at, _BAR + readable(_most_telling(entries)))
    return "\n".join(kept)


def _parsed(line: str) -> Mapping[str, object] | None:
    if not line.startswith(_BAR + "{"):
        return None
    try:
        entry = json.loads(line.removeprefix(_BAR))
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None


def _most_telling(entries: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    worst = max(_severity(entry) for entry in entries)
    return [entry for entry in entries if _severity(entry) == worst][-1]


def _severity(entry: Mapping[str, object]) -> int:
    return _SEVERITY.get(str(entry.get("level")), 1)


def readable(entry: Mapping[str, object]) -> str:
    """Time, level, event, and what was wrong and how to mend it, in one line."""
    time = re.sub(r"\.\d+", "", str(entry.get("timestamp", "")))
    said = [str(entry["event"])]
    reason = next((name for name in _REASONS if entry.get(name)), None)
    said += [_last_line(entry[name]) for name in (reason, "remedy") if name and entry.get(name)]
    text = f"{time} {entry.get('level', 'info')}: {'; '.join(said)}".strip()
    return clipped(printable(text), MOST_CHARACTERS)


def _last_line(value: object) -> str:
    return (str(value).strip().splitlines() or [""])[-1].strip()
