"""What the user may say about a replay, and its check against the mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tokentide.producers.replay.compiling import RowSettings
from tokentide.producers.replay.mapping import TraceMapping
from tokentide.producers.replay.moments import parse_start
from tokentide.producers.replay.sections import OVERRIDES
from tokentide.producers.replay.strict import suggestion
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.limits import MAX_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How to send a trace."""

    speed: float | None = None
    """1: as it happened; 10: ten times as fast; None: as fast as possible."""
    times: Literal["original", "now"] = "original"
    """`now`: all times are shifted alike, so that gaps stay and no event lies in the future."""
    order: Literal["file", "time"] = "file"
    """`time`: sorted by event time first, in memory; for files that are grouped by session."""
    service: str | None = None
    environment: str | None = None
    region: str | None = None
    start: str | None = None
    """Where a trace counts its times from a start of its own: that start."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Options that the mapping declares, such as `model`."""
    skip_rows: int = 0
    """Rows that were sent before: read, for what they tell of later ones, but not sent."""
    limit_rows: int | None = None
    """Stop after this many rows of the file."""

    @property
    def overrides(self) -> dict[str, str]:
        """Fields set for every event."""
        return {name: value for name in OVERRIDES if (value := getattr(self, name)) is not None}


def row_settings(options: ReplayOptions, mapping: TraceMapping) -> RowSettings:
    """What concerns the rows, checked.

    Raises:
        OptionError: an option is unknown to the mapping, or has a value that it cannot have.
    """
    for name in options.values:
        if name not in mapping.options:
            known = suggestion(name, mapping.options) if mapping.options else "; it has none"
            raise OptionError(f"the mapping {mapping.name!r} has no option {name!r}{known}")
    for name, value in options.overrides.items():
        if not 1 <= len(value) <= MAX_TEXT:
            raise OptionError(f"{name} must be 1 … {MAX_TEXT} characters")
    if "service" not in options.overrides and not any(f.column.name == "service" for f in mapping.fields):
        raise OptionError(f"the mapping {mapping.name!r} tells no service; give one")
    _check_start(options.start, mapping)
    if options.speed is not None and not options.speed > 0:
        raise OptionError("speed must be above 0")
    return RowSettings(values=dict(options.values), overrides=options.overrides, start=options.start)


def _check_start(start: str | None, mapping: TraceMapping) -> None:
    if start is None:
        return
    if mapping.times.start is None:
        raise OptionError(f"the trace {mapping.name!r} has times of its own and takes no start; see `times`")
    try:
        parse_start(start, mapping.times.zone)
    except ValueError as error:
        raise OptionError(f"start {error}") from None
