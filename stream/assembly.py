"""Wires the pure core and the outside together from the settings: the one place that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import for_code

from tokentide.config import Settings
from tokentide.config.kafka import client_arguments
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decoder_choice import ChosenDecoder, choose_decoder
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.enrich.redact import redact
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.fold_id import fold_id
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import PartitionFold, PartitionRules
from tokentide.stream.pricing.book import GenaiBook, PriceBook
from tokentide.stream.pricing.override_file import parse_overrides
from tokentide.stream.record_batch import Source
from tokentide.stream.resume import Start
from tokentide.stream.tokens import TokenMemory
from tokentide.stream.transport.fetched import Place

_DAY_US = 86_400_000_000


class Core(NamedTuple):
    """The parts of the pure core that partitions share."""

    rules: PartitionRules
    decoder: ChosenDecoder
    enricher: Enricher

    def partition(self, source: Source, start: Start) -> PartitionFold:
        """A newly assigned partition."""
        again = self.enricher.for_windows
        return PartitionFold(source, start, self.rules, self.decoder, self.enricher, enrich_for_windows=again)


def build_core(settings: Settings) -> Core:
    """Build the core.

    Raises:
        OSError: the file of own prices cannot be read.
        ValueError: it is wrong; the message names the line.
        DecoderMissingError: the setting asks for the native decoder, and it cannot be used.
    """
    books = price_books(settings)
    fold = FoldSettings(settings.windows.dimensions, settings.windows.series_cap)
    age_days = settings.limits.event_age_days
    clock = ClockLimits(age_us=None if age_days is None else age_days * _DAY_US)
    letters = LetterPolicy(settings.dead_letters.max_bytes, settings.dead_letters.policy == "hash")
    rules = PartitionRules(fold, fold_id(fold, clock, [book.version for book in books]), clock, letters)
    decoder = choose_decoder(settings.worker.decoder)
    return Core(rules, decoder, Enricher(books, _content_rules(settings), TokenMemory()))


def price_books(settings: Settings) -> list[PriceBook]:
    """The user's prices, where there are any, and then those of genai-prices."""
    own = settings.prices.overrides_file
    books: list[PriceBook] = (
        [] if own is None else [parse_overrides(own.read_text(encoding="utf-8"), source=own.name)]
    )
    return [*books, GenaiBook()]


def _content_rules(settings: Settings) -> ContentRules:
    content = settings.content
    key = (
        content.hash_key.get_secret_value().encode()
        if content.hash_key and content.policy != "none"
        else None
    )
    keep = frozenset(content.keep_services) if content.policy == "keep" else frozenset[str]()
    return ContentRules(hash_key=key, keep_services=keep, redact=redact)


def new_consumer(settings: Settings, group_id: str) -> AIOKafkaConsumer:
    """The consumer of a stage; positions and commits are not its business."""
    worker = settings.worker
    return AIOKafkaConsumer(
        **client_arguments(settings.kafka),
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        session_timeout_ms=round(worker.session_timeout_seconds * 1_000),
        rebalance_timeout_ms=round(worker.session_timeout_seconds * 1_000),
        heartbeat_interval_ms=round(worker.heartbeat_seconds * 1_000),
        # While memory is full a worker fetches nothing until ClickHouse has taken a checkpoint, however slowly: it is not to lose its
        # partitions over it. Whether it has died the heartbeats tell, whether it stands still `StallWatch`.
        max_poll_interval_ms=86_400_000,
        fetch_max_bytes=worker.fetch_max_bytes,
        max_partition_fetch_bytes=worker.fetch_max_partition_bytes,
        fetch_max_wait_ms=worker.fetch_max_wait_ms,
        metadata_max_age_ms=round(worker.metadata_refresh_seconds * 1_000),
    )


def new_producer(settings: Settings) -> KafkaProducer:
    """The producer of dead letters, partials and incidents.

    Raises:
        kafka.errors.KafkaError: the broker cannot be reached.
    """
    return KafkaProducer(
        **client_arguments(settings.kafka),
        enable_idempotence=True,
        acks="all",
        compression_type="lz4",
        linger_ms=5,
        max_request_size=settings.topics.max_message_bytes,
        batch_size=262_144,
        delivery_timeout_ms=120_000,
    )


def sources(settings: Settings, topic: str) -> Mapping[Place, Source]:
    """The partitions of a topic and which log each is.

    Raises:
        kafka.errors.UnknownTopicOrPartitionError: the topic does not exist; run `tokentide init`.
        kafka.errors.KafkaError: the broker cannot be asked.
    """
    with closing(KafkaAdminClient(**client_arguments(settings.kafka))) as admin:
        (described,) = admin.describe_topics([topic])
    if described["error_code"]:
        raise for_code(described["error_code"])(f"the topic {topic} cannot be described")
    name = f"{topic}:{described['topic_id']}"
    partitions = [int(partition["partition_index"]) for partition in described["partitions"]]
    return {(topic, partition): Source(name, topic, partition) for partition in partitions}
