"""What each topic is to be created with: partitions, copies and configuration. Pure; nothing is created here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokentide.config.settings import Settings

HOUR_MS: Final = 3_600_000

OPTIONAL_CONFIGS: Final = frozenset({"message.timestamp.type"})
"""Left out where a broker refuses them (some hosted ones): they guard against clients' clocks only."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic as `tokentide init` creates it."""

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


def topic_plans(settings: Settings) -> tuple[TopicPlan, ...]:
    """Return the plan of every topic, events first.

    Records are stamped by the broker (`LogAppendTime`): retention then counts from the arrival, whatever
    a client's clock or a replayed trace says, and a trace of 2023 is not deleted at once.
    """
    topics = settings.topics
    common = {
        "max.message.bytes": str(topics.max_message_bytes),
        # With three copies a write needs two of them, so that one broker may die without a loss.
        **({"min.insync.replicas": "2"} if topics.replication_factor >= 3 else {}),
    }

    def plan(name: str, partitions: int, configs: Mapping[str, str]) -> TopicPlan:
        return TopicPlan(name, partitions, topics.replication_factor, {**common, **configs})

    def kept(hours: int) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(hours * HOUR_MS),
            "message.timestamp.type": "LogAppendTime",
        }

    return (
        plan(topics.events, topics.partitions, kept(topics.events_retention_hours)),
        plan(topics.windows, topics.partitions, kept(topics.windows_retention_hours)),
        # One partition each: few records, and readers see them in one order.
        plan(topics.anomalies, 1, {"cleanup.policy": "compact"}),
        plan(topics.rejected, 1, kept(topics.rejected_retention_hours)),
    )
