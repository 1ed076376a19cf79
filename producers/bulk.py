"""Sending many events, blocking: every event is acknowledged, or an error is raised; nothing is dropped.

The public face of `event_sink` (what a sink is; memory, lines) and `kafka_sink` (Kafka).
"""

from __future__ import annotations

from tokentide.producers.event_sink import Event, EventSink, MemorySink, NdjsonSink
from tokentide.producers.kafka_sink import KafkaSink, open_kafka_sink

__all__ = ["Event", "EventSink", "KafkaSink", "MemorySink", "NdjsonSink", "open_kafka_sink"]
