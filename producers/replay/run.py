"""The replay itself: read, map, pace, send, report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import BinaryIO, Final

from tokentide.producers.compact_json import encode_event
from tokentide.producers.event_sink import EventSink
from tokentide.producers.gentle_stop import GentleStop
from tokentide.producers.lines import Input
from tokentide.producers.pace import Clock, Pacer, SystemClock
from tokentide.producers.progress import Progress
from tokentide.producers.replay.compiling import BadRow, MappedRow, RowMapper, RowSettings
from tokentide.producers.replay.mapping import TraceMapping
from tokentide.producers.replay.options import ReplayOptions, row_settings
from tokentide.producers.replay.readers import open_reader
from tokentide.producers.traffic_errors import OptionError

MOST_LISTED: Final = 20
"""Bad rows kept with their reason; the rest is counted."""


@dataclass(slots=True)
class ReplayReport:
    """What became of the rows; `rows = sent + skipped + bad + not_sent`."""

    rows: int = 0
    sent: int = 0
    """Events given to the sink by this run."""
    acknowledged: int = 0
    """Events stored for certain."""
    skipped: int = 0
    """Rows that are no calls: by the mapping's `skip`, or spans of other kinds."""
    not_sent: int = 0
    """Rows passed over because the user said so (`skip_rows`)."""
    bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    """The first of them."""
    out_of_order: int = 0
    """Events earlier than one that was sent before them."""
    first_us: int | None = None
    last_us: int | None = None
    """Earliest and latest event time sent."""
    is_interrupted: bool = False
    """Ended by Ctrl-C; everything given to the sink was acknowledged before the end."""

    def count(self, mapped: MappedRow | BadRow | None) -> None:
        """Count a row that is not sent."""
        self.rows += 1
        if mapped is None:
            self.skipped += 1
        elif isinstance(mapped, BadRow):
            self.bad += 1
            if len(self.bad_rows) < MOST_LISTED:
                self.bad_rows.append(mapped)
        else:
            self.not_sent += 1


def map_rows(
    source: Path | BinaryIO, mapping: TraceMapping, settings: RowSettings, progress: Progress | None = None
) -> Iterator[MappedRow | BadRow | None]:
    """Every row of the trace in the order of the file; None for one that is no call.

    Raises:
        InputError: the file cannot be read to its end.
        MappingError: the mapping does not fit the file.
    """
    with Input(source) as opened:
        reader = open_reader(opened, mapping)
        mapper = RowMapper(mapping, reader, settings)
        ignored = 0
        for number, raw in enumerate(reader):
            yield from repeat(None, reader.ignored - ignored)
            ignored = reader.ignored
            yield mapper.map(raw)
            if progress is not None and number % 256 == 0:
                progress.advance(fraction_done=opened.fraction_read())
        yield from repeat(None, reader.ignored - ignored)


def replay(
    source: Path | BinaryIO,
    mapping: TraceMapping,
    sink: EventSink,
    options: ReplayOptions,
    *,
    progress: Progress,
    clock: Clock | None = None,
) -> ReplayReport:
    """Send a recorded trace. Rows that make no event are counted and listed, and the rest is sent.

    Sent again with the same options, every event has the same id and is stored once. After Ctrl-C the
    report tells how many rows are safe: `rows`, which is what `skip_rows` takes to go on.

    Raises:
        OptionError: an option does not fit the mapping, or `times="now"` is asked of a stream.
        MappingError: the mapping does not fit the file; nothing was sent.
        InputError: the file cannot be read to its end; what was read before was sent.
        DeliveryError: Kafka did not acknowledge; see there.
    """
    clock = clock if clock is not None else SystemClock()
    settings = row_settings(options, mapping)
    if options.times == "now":
        settings = _shifted_to_now(source, mapping, settings, options, clock)
    report = ReplayReport()
    rows: Iterator[MappedRow | BadRow | None] = map_rows(source, mapping, settings, progress)
    rows = islice(rows, options.limit_rows)
    if options.order == "time":
        rows = _by_time(rows, report)
    pacer = Pacer(clock, options.speed)
    with GentleStop() as stop:
        push = partial(stop.during, sink.push)
        try:
            for mapped in rows:
                if not isinstance(mapped, MappedRow) or report.rows < options.skip_rows:
                    report.count(mapped)
                    continue
                pacer.wait_for(mapped.timestamp_us, push=push, tick=progress.tick)
                stop.begin()
                size_bytes = _send(mapped, sink, report)
                stop.end()
                progress.advance(1, size_bytes)
        except KeyboardInterrupt:
            report.is_interrupted = True
    sink.flush()
    report.acknowledged = sink.acknowledged
    return report


def _send(mapped: MappedRow, sink: EventSink, report: ReplayReport) -> int:
    """Hand over one event and return its size in bytes."""
    line = encode_event(mapped.event)
    sink.send(line, str(mapped.event["event_id"]))
    report.rows += 1
    report.sent += 1
    time_us = mapped.timestamp_us
    if report.last_us is not None and time_us < report.last_us:
        report.out_of_order += 1
    report.first_us = time_us if report.first_us is None else min(report.first_us, time_us)
    report.last_us = time_us if report.last_us is None else max(report.last_us, time_us)
    return len(line)


def _by_time(
    rows: Iterator[MappedRow | BadRow | None], report: ReplayReport
) -> Iterator[MappedRow | BadRow | None]:
    """Events sorted by time, equal times in the order of the file; everything else is counted at once."""
    events = []
    for mapped in rows:
        if isinstance(mapped, MappedRow):
            events.append(mapped)
        else:
            report.count(mapped)
    return iter(sorted(events, key=lambda mapped: mapped.timestamp_us))


def _shifted_to_now(
    source: Path | BinaryIO,
    mapping: TraceMapping,
    settings: RowSettings,
    options: ReplayOptions,
    clock: Clock,
) -> RowSettings:
    """Read the trace once to know its ends, then choose the shift.

    At full speed the last event is now. Paced, an event may not be later than the moment it is sent:
    faster than real time, the last event is sent at its own time and earlier ones after theirs; in real
    time every event is; slower, the first is.
    """
    if not isinstance(source, Path):
        raise OptionError("times of now need a file: a stream cannot be read twice")
    times_us = [
        mapped.timestamp_us
        for mapped in islice(map_rows(source, mapping, settings), options.limit_rows)
        if isinstance(mapped, MappedRow)
    ]
    if not times_us:
        return settings
    span_us = max(times_us) - min(times_us)
    wait_us = 0.0 if options.speed is None else min(span_us, span_us / options.speed)
    return replace(settings, shift_us=clock.now_us() + int(wait_us) - max(times_us))
