"""Whether Kafka answers somebody else, where this worker's consumer does not hear from it."""

from __future__ import annotations

from contextlib import closing

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from tokentide.config import Settings
from tokentide.config.kafka import client_arguments
from tokentide.stream.transport.fetched import Place


def kafka_answers(settings: Settings, place: Place | None) -> bool:
    """Ask the group's coordinator, and the leader of a partition, over new connections. Blocks, for a minute at the most or so."""
    arguments = client_arguments(settings.kafka)
    try:
        with closing(KafkaAdminClient(**arguments)) as admin:
            admin.list_group_offsets(settings.worker.group_id)
        if place is not None:
            with closing(KafkaConsumer(**arguments, group_id=None, enable_auto_commit=False)) as reader:
                reader.end_offsets([TopicPartition(*place)])
    except (KafkaError, OSError):
        return False
    return True
