"""`tokentide tail`: follow a topic."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tokentide.cli.arguments import add_settings_arguments, settings_from
from tokentide.cli.exits import ExitCode
from tokentide.cli.kafka_access import begin_offsets, consumer, partitions_of
from tokentide.cli.offsets import end_offsets
from tokentide.cli.records import Line, anomaly_line, event_line, items_of, letter_lines, readable_letter
from tokentide.cli.registry import Example
from tokentide.cli.terminal import print_json, say, toned

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

    from tokentide.config import TopicSettings

DESCRIPTION = """Follow events, refused records or incidents as they arrive, from Kafka; Ctrl-C ends it.

events: one line a call, packed records unpacked. rejects: where, why, and the refused bytes as text.
anomalies: each change of an incident. With --json each item is one line of JSON in full: events as they
were sent (with their texts), refused records with `value_text` beside the bytes."""
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
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N items")
    parser.add_argument("--json", action="store_true", help="one line of JSON an item")
    add_settings_arguments(parser, ["kafka"])


class Item(NamedTuple):
    """One event, dead letter or incident, and where it was."""

    content: Mapping[str, object] | None
    """None: not a JSON object."""
    partition: int
    offset: int
    value: bytes | None


def run(args: argparse.Namespace) -> int:
    """Print items until told to stop."""
    settings = settings_from(args)
    topic = _topic(settings.topics, args.topic)
    printed = 0
    with consumer(settings.kafka, fetch_max_wait_ms=500) as client:
        partitions = partitions_of(client, topic)
        ends = end_offsets(settings.kafka, topic, partitions)
        starts = begin_offsets(client, topic, partitions) if args.from_beginning else ends
        for item in _items(client, topic, starts=starts, ends=ends, follow=not args.no_follow):
            if args.limit is not None and printed >= args.limit:
                break
            _print(args.topic, item, as_json=args.json)
            printed += 1
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
                    yield from _unpacked(record.value, record.partition, record.offset)


def _unpacked(value: bytes | None, partition: int, offset: int) -> Iterator[Item]:
    for content in items_of(value):
        yield Item(content, partition, offset, value)


def _print(topic: str, item: Item, *, as_json: bool) -> None:
    place = f"{item.partition}/{item.offset}"
    if item.content is None:
        size = len(item.value or b"")
        if as_json:
            print_json({"partition": item.partition, "offset": item.offset, "unreadable_bytes": size})
        else:
            print(toned(f"{place}: {size:,} bytes that are no JSON object", "red"), flush=True)
        return
    if as_json:
        content = readable_letter(item.content) if topic == "rejects" else item.content
        print(json.dumps(content, ensure_ascii=False), flush=True)
        return
    for line in _lines(topic, item.content, place):
        print(_written(line), flush=True)


def _lines(topic: str, content: Mapping[str, object], place: str) -> Iterator[Line]:
    if topic == "events":
        yield event_line(content, place)
    elif topic == "rejects":
        yield from letter_lines(content)
    else:
        yield anomaly_line(content)


def _written(line: Line) -> str:
    return "".join(toned(text, tone) if tone else text for text, tone in line).rstrip()
