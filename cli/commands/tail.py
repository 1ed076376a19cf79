"""`tokentide tail`: follow a topic."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tokentide.cli.arguments import add_settings_arguments, settings_from, whole_number
from tokentide.cli.exits import ExitCode
from tokentide.cli.kafka_access import begin_offsets, consumer, partitions_of
from tokentide.cli.offsets import end_offsets
from tokentide.cli.records import (
    Line,
    anomaly_line,
    event_line,
    is_news,
    items_of,
    letter_lines,
    readable_letter,
)
from tokentide.cli.registry import Example
from tokentide.cli.terminal import print_json, say, toned

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

    from tokentide.config import TopicSettings

DESCRIPTION = """Follow events, refused records or incidents as they arrive, from Kafka; Ctrl-C ends it.

events: one line a call, packed records unpacked. rejects: where, why, and the refused bytes as text.
anomalies: each change of an incident, with the time at which it was told; a message that only adds examples is left out.
Times are UTC. With --json each item is one line of JSON in full: events as they were sent (with their texts), refused
records with `value_text` beside the bytes, and every message of an incident."""
EXAMPLES = (
    Example("tokentide tail anomalies", "Watch incidents open and resolve."),
    Example("tokentide tail rejects --from-beginning --no-follow", "See all that was refused, and why."),
    Example("tokentide tail events --limit 1 --json", "One event in full."),
)
TOPICS: Final = ("events", "rejects", "anomalies")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("topic", choices=TOPICS, help="what to follow")
    parser.add_argument("--from-beginning", action="store_true", help="start with the oldest that is kept")
    parser.add_argument("--no-follow", action="store_true", help="stop at what is the end now")
    parser.add_argument("--limit", type=whole_number(), metavar="N", help="stop after N items")
    parser.add_argument("--json", action="store_true", help="one line of JSON an item")
    add_settings_arguments(parser, ["kafka"])


class Item(NamedTuple):
    """One event, dead letter or incident, and where it was."""

    content: Mapping[str, object] | None
    """None: not a JSON object."""
    partition: int
    offset: int
    value: bytes | None
    timestamp_ms: int | None
    """Kafka's time of the record."""


def run(args: argparse.Namespace) -> int:
    """Print items until told to stop."""
    settings = settings_from(args)
    topic = _topic(settings.topics, args.topic)
    printed = 0
    show = _Printer(args.topic, as_json=args.json)
    with consumer(settings.kafka, fetch_max_wait_ms=500) as client:
        partitions = partitions_of(client, topic)
        ends = end_offsets(settings.kafka, topic, partitions)
        starts = begin_offsets(client, topic, partitions) if args.from_beginning else ends
        for item in _items(client, topic, starts=starts, ends=ends, follow=not args.no_follow):
            if args.limit is not None and printed >= args.limit:
                break
            printed += show(item)
            if printed == args.limit:
                break
    return ExitCode.OK


def _topic(topics: TopicSettings, name: str) -> str:
    return {"events": topics.events, "rejects": topics.rejected, "anomalies": topics.anomalies}[name]


def _places(topic: str, partitions: Sequence[int]) -> list[TopicPartition]:
    from kafka import TopicPartition  # noqa: PLC0415 - loaded by now

    return [TopicPartition(topic, partition) for partition in partitions]


def _items(
    client: KafkaConsumer,
    topic: str,
    *,
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    follow: bool,
) -> Iterator[Item]:
    places = _places(topic, list(starts))
    client.assign(places)
    for place in places:
        client.seek(place, starts[place.partition])
    if follow and sys.stdout.isatty():
        say(toned(f"following {topic} ({len(places)} partitions); Ctrl-C ends", "dim", sys.stderr))
    while follow or any(client.position(place) < ends[place.partition] for place in places):
        for records in client.poll(timeout_ms=250).values():
            for record in records:
                if follow or record.offset < ends[record.partition]:
                    yield from _unpacked(record)


def _unpacked(record: ConsumerRecord) -> Iterator[Item]:
    for content in items_of(record.value):
        yield Item(content, record.partition, record.offset, record.value, record.timestamp)


class _Printer:
    """Prints items; remembers the last message of each incident."""

    def __init__(self, topic: str, *, as_json: bool) -> None:
        self._topic = topic
        self._as_json = as_json
        self._incidents: dict[str, Mapping[str, object]] = {}

    def __call__(self, item: Item) -> bool:
        """Print an item; False: it says nothing new to a human."""
        if item.content is None:
            self._print_unreadable(item)
        elif self._as_json:
            content = readable_letter(item.content) if self._topic == "rejects" else item.content
            print_json(content)
        else:
            lines = list(self._lines(item, item.content))
            for line in lines:
                print(_written(line), flush=True)
            return bool(lines)
        return True

    def _print_unreadable(self, item: Item) -> None:
        size = len(item.value or b"")
        if self._as_json:
            print_json({"partition": item.partition, "offset": item.offset, "unreadable_bytes": size})
        else:
            place = f"{item.partition}/{item.offset}"
            print(toned(f"{place}: {size:,} bytes that are no JSON object", "red"), flush=True)

    def _lines(self, item: Item, content: Mapping[str, object]) -> Iterator[Line]:
        if self._topic == "events":
            yield event_line(content, f"{item.partition}/{item.offset}")
        elif self._topic == "rejects":
            yield from letter_lines(content)
        else:
            name = str(content.get("anomaly_id"))
            before = self._incidents.get(name)
            self._incidents[name] = content
            if is_news(content, before):
                yield anomaly_line(content, told_ms=item.timestamp_ms, before=before)


def _written(line: Line) -> str:
    return "".join(toned(text, tone) if tone else text for text, tone in line).rstrip()
