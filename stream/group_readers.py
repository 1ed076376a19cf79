"""Whether somebody else in the group reads a topic: asked by a worker that cannot store, before it takes partitions from them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import structlog
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tokentide.config import Settings
from tokentide.config.kafka import client_arguments

log = structlog.get_logger("tokentide.worker")


def has_readers(settings: Settings, topic: str) -> bool:
    """Whether a member of the worker's group reads the topic; False too where the broker does not tell.

    Blocking. (The embedded broker does not tell: there all workers have one ClickHouse.)
    """
    group = settings.worker.group_id
    try:
        with closing(KafkaAdminClient(**client_arguments(settings.kafka))) as admin:
            described = admin.describe_groups([group])
    except (KafkaError, ValueError) as error:
        log.debug("the broker does not tell who is in the group", error=type(error).__name__)
        return False
    return reads(described.get(group, {}), topic)


def reads(described: Mapping[str, Any], topic: str) -> bool:
    """Whether in a group, as kafka-python describes it, somebody has subscribed a topic; also while partitions are being assigned."""
    subscriptions = [member.get("member_metadata") for member in described.get("members") or ()]
    return any(isinstance(found, Mapping) and topic in (found.get("topics") or ()) for found in subscriptions)
