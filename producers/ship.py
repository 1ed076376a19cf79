"""Sending events from a file or a stream of JSON: each line is checked, and what is wrong is said at once.

What is sent are the bytes as they are. A line that the contract refuses is sent all the same, unless
`invalid="skip"`: the worker keeps it whole among the dead letters, where it is not lost, and a worker may be
newer than this tool and accept it. Only a line over the size of a record cannot be sent.

An event without an `event_id` gets one that follows from the input up to its line (`row_ids`), so that the
same file sent twice is stored once, also when it has grown in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple

from pydantic import ValidationError

from tokentide.producers.compact_json import encode_json
from tokentide.producers.event_models import model_for, type_problem
from tokentide.producers.event_sink import EventSink
from tokentide.producers.gentle_stop import GentleStop
from tokentide.producers.json_input import JsonItem, read_json
from tokentide.producers.lines import Input
from tokentide.producers.pace import Clock, SystemClock
from tokentide.producers.progress import Progress
from tokentide.producers.row_ids import RowIds
from tokentide.producers.unknown_names import UnknownField, UnknownNames
from tokentide.schemas.limits import EARLIEST_TIMESTAMP_US, FUTURE_TOLERANCE_US
from tokentide.schemas.problems import problem_of

MOST_LISTED: Final = 20
"""Problems kept with their text; the rest is counted."""
ID_SEED: Final = "tokentide ship"


class LineProblem(NamedTuple):
    """Why a line is no valid event; the text does not repeat what is in it."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipOptions:
    """How to send a file."""

    invalid: Literal["send", "skip"] = "send"
    """What becomes of lines that the contract refuses. They are counted and listed in both cases."""
    skip_items: int = 0
    """Items that were sent before: read, but not sent."""


@dataclass(slots=True)
class ShipReport:
    """What became of the items; `items = sent + withheld + not_sent`."""

    items: int = 0
    """Lines with something on them, and the items of arrays."""
    sent: int = 0
    """Given to the sink, valid or not."""
    acknowledged: int = 0
    """Stored in Kafka for certain."""
    invalid: int = 0
    """Refused by the contract, whether sent or not: the workers will say the same."""
    withheld: int = 0
    """Not sent: invalid with `invalid="skip"`, or over the size of a record."""
    not_sent: int = 0
    """Passed over because the user said so (`skip_items`)."""
    ids_given: int = 0
    """Events that came without an id."""
    problems: list[LineProblem] = field(default_factory=list)
    """The first of them."""
    unknown_fields: list[UnknownField] = field(default_factory=list)
    """Names that the contract does not have, each once; it accepts such fields, and workers ignore them."""
    more_unknown: int = 0
    """How often further names were met."""
    is_interrupted: bool = False
    """Ended by Ctrl-C; everything given to the sink was acknowledged before the end."""


def ship(
    source: Path | BinaryIO,
    sink: EventSink,
    options: ShipOptions,
    *,
    progress: Progress,
    on_problem: Callable[[LineProblem], None] | None = None,
    clock: Clock | None = None,
) -> ShipReport:
    """Send every event of a file or stream: JSON lines, arrays, or one document; plain or gzip.

    `on_problem` is called for each invalid item as it is met. After Ctrl-C the report's `items` are safe: it
    is what `skip_items` takes to go on.

    Raises:
        InputError: the input cannot be opened, or read to its end; what was read before was sent.
        DeliveryError: Kafka did not acknowledge; see there.
    """
    report = ShipReport()
    checker = _Checker(clock if clock is not None else SystemClock())
    unknown = UnknownNames()
    stop = GentleStop()

    def idle() -> None:
        stop.during(sink.push)
        progress.tick()

    with stop, Input(source, on_idle=idle) as opened:
        try:
            for item in read_json(opened):
                checked = checker.check(item)
                if report.items < options.skip_items:
                    report.items += 1
                    report.not_sent += 1
                    continue
                if checked.reason is not None:
                    _note(LineProblem(item.number, checked.reason), report, on_problem)
                if isinstance(item.value, dict):
                    unknown.look(item.value)
                sent_before = report.sent
                stop.during(partial(_hand_over, checked, item, sink, options, report))
                if report.sent > sent_before:
                    progress.advance(1, len(checked.raw))
                else:
                    progress.tick()
                if report.items % 256 == 0:
                    progress.advance(fraction_done=opened.fraction_read())
        except KeyboardInterrupt:
            report.is_interrupted = True
    sink.flush()
    report.acknowledged = sink.acknowledged
    report.unknown_fields = unknown.found()
    report.more_unknown = unknown.more
    return report


class CheckedItem(NamedTuple):
    """An item as it is to be sent, and what is wrong with it."""

    raw: bytes
    event_id: str | None
    reason: str | None
    is_given_id: bool


def _hand_over(
    checked: CheckedItem, item: JsonItem, sink: EventSink, options: ShipOptions, report: ShipReport
) -> None:
    report.ids_given += checked.is_given_id
    if item.is_too_long or (checked.reason is not None and options.invalid == "skip"):
        report.withheld += 1
    else:
        if isinstance(item.value, dict):
            sink.send(checked.raw, checked.event_id)
        else:
            # Not an object: packed with others it could make their record unreadable.
            sink.send_alone(checked.raw)
        report.sent += 1
    report.items += 1


def _note(problem: LineProblem, report: ShipReport, on_problem: Callable[[LineProblem], None] | None) -> None:
    report.invalid += 1
    if len(report.problems) < MOST_LISTED:
        report.problems.append(problem)
    if on_problem is not None:
        on_problem(problem)


class _Checker:
    """Checks items against the contract and gives ids; remembers only the chain of ids."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = RowIds(ID_SEED)

    def check(self, item: JsonItem) -> CheckedItem:
        """What to send for an item, and the reason if the contract refuses it."""
        position_id = self._ids.of(item.raw)
        if item.problem is not None:
            return CheckedItem(item.raw, None, item.problem, is_given_id=False)
        if not isinstance(item.value, dict):
            return CheckedItem(item.raw, None, "is no JSON object", is_given_id=False)
        event, raw = item.value, item.raw
        is_given_id = "event_id" not in event
        if is_given_id:
            event, raw = {"event_id": position_id, **event}, _with_id(raw, position_id)
        event_id = event["event_id"]
        own_id = event_id if isinstance(event_id, str) else None
        return CheckedItem(raw, own_id, self._reason(event), is_given_id)

    def _reason(self, event: dict[str, object]) -> str | None:
        event_type = event.get("event_type")
        if wrong_type := type_problem(event_type):
            return wrong_type
        try:
            timestamp_us = model_for(event_type).model_validate(event).timestamp
        except ValidationError as error:
            return problem_of(error).error
        if timestamp_us < EARLIEST_TIMESTAMP_US:
            return "timestamp: is before the year 2000; is its unit right?"
        if timestamp_us > self._clock.now_us() + FUTURE_TOLERANCE_US:
            return "timestamp: is more than 5 minutes in the future"
        return None


def _with_id(raw: bytes, event_id: str) -> bytes:
    """The same bytes with an id in front: numbers and texts stay exactly as the file has them."""
    inside = raw.strip()[1:].lstrip()
    comma = b"" if inside == b"}" else b","
    return b'{"event_id":' + encode_json(event_id) + comma + inside
