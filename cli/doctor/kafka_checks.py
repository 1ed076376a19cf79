"""Checks of Kafka: the brokers, our topics, the workers' group, the brokers' clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tokentide.cli.doctor.backlog import Patience, backlog_finding
from tokentide.cli.doctor.findings import Finding, Reporter
from tokentide.cli.exits import CliError
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.kafka_patience import asked_by_new_clients, patiently
from tokentide.cli.lag import PartitionLag, partition_lags
from tokentide.cli.offsets import KafkaOffsets
from tokentide.cli.terminal import counted
from tokentide.cli.topics import KafkaTopics, Outcome, apply_plans
from tokentide.config.topics import topic_plans

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

    from tokentide.config import KafkaSettings, Settings
    from tokentide.config.settings import WorkerSettings

CLOCK_TOLERANCE_S: Final = 2.0


def kafka_checks(settings: Settings) -> Iterator[Finding]:
    """Everything about Kafka; one failure where it does not answer."""
    report = Reporter("kafka")
    try:
        with admin_client(settings.kafka) as admin:
            yield _brokers(report, admin, settings)
            plans = topic_plans(settings)
            outcomes = apply_plans(KafkaTopics(admin), plans, update=False, dry_run=True)
            yield from _topics(report, outcomes)
            if outcomes[0].state == "missing":
                yield report.skip("workers", "there is no events topic yet")
                return
            group = settings.worker.group_id
            offsets = KafkaOffsets(settings.kafka, admin, topic=settings.topics.events, group_id=group)
            yield from report.guarded(
                "workers", lambda: _workers(report, settings.kafka, admin, offsets, settings.worker)
            )
            yield from report.guarded("clock", lambda: _clock(report, offsets))
    except CliError as error:
        yield report.fail("brokers", error.message, error.hint)


def _brokers(report: Reporter, admin: KafkaAdminClient, settings: Settings) -> Finding:
    started = time.monotonic()
    cluster = patiently(admin.describe_cluster)
    took_ms = (time.monotonic() - started) * 1000
    count = len(cluster["brokers"])
    where = ",".join(settings.kafka.bootstrap_servers)
    text = f"{counted(count, 'broker')} at {where}, {took_ms:.0f} ms"
    if count >= 3 and settings.topics.replication_factor < 3:
        return report.warn(
            "brokers",
            f"{text}; new topics get {settings.topics.replication_factor} copy",
            "Set topics.replication_factor to 3 before `tokentide init`, so that a dead broker loses nothing.",
        )
    return report.ok("brokers", text)


def _topics(report: Reporter, outcomes: list[Outcome]) -> Iterator[Finding]:
    for outcome in outcomes:
        text = counted(outcome.partitions, "partition") + "".join(f"; {note}" for note in outcome.notes)
        if outcome.state == "missing":
            yield report.fail(outcome.topic, "does not exist", "tokentide init")
        elif outcome.state == "differs":
            yield report.warn(outcome.topic, text, "tokentide init --update")
        else:
            yield report.ok(outcome.topic, text)


def _workers(
    report: Reporter,
    kafka: KafkaSettings,
    admin: KafkaAdminClient,
    offsets: KafkaOffsets,
    worker: WorkerSettings,
) -> Iterator[Finding]:
    lags = partition_lags(offsets)
    group = worker.group_id
    yield from _membership(report, group, members(kafka, admin, group), lags)
    patience = Patience.with_settings(worker)
    yield backlog_finding(report, offsets, lags, group=group, patience=patience)


def members(kafka: KafkaSettings, admin: KafkaAdminClient, group: str) -> int | None:
    """Workers in the group; None where the broker does not tell (the embedded one does not)."""
    from kafka.errors import CoordinatorNotAvailableError, KafkaError  # noqa: PLC0415 - loaded by now

    def ask(client: KafkaAdminClient) -> int:
        described = client.describe_groups([group]).get(group, {})
        if "Coordinator" in str(described.get("error")):  # moving or coming: it knows nobody yet
            raise CoordinatorNotAvailableError(group)
        return len(described.get("members") or ())

    try:
        return asked_by_new_clients(kafka, admin, ask)
    except (KafkaError, CliError, ValueError):  # kafka-python cannot read the embedded broker's answer
        return None


def _membership(
    report: Reporter, group: str, members: int | None, lags: list[PartitionLag]
) -> Iterator[Finding]:
    left = sum(lag.lag for lag in lags)
    if members is None:
        yield report.skip("workers", f"the broker does not tell who is in the group {group}")
    elif members == 0:
        text = f"no worker is running in the group {group}"
        yield report.warn("workers", text, "tokentide worker") if left else report.ok("workers", text)
    elif members > len(lags):
        yield report.warn(
            "workers",
            f"{members} workers for {len(lags)} partitions: {members - len(lags)} have nothing to do",
            f"Raise topics.partitions to {members} and run `tokentide init --update`.",
        )
    else:
        yield report.ok("workers", f"{members} in the group {group}")


def _clock(report: Reporter, offsets: KafkaOffsets) -> Iterator[Finding]:
    """The broker stamps records as they arrive: a stamp from the future is a clock that is wrong."""
    newest_ms = offsets.newest_timestamp_ms()
    if newest_ms is None:
        yield report.skip("clock", "no record to compare with")
        return
    ahead_s = newest_ms / 1000 - time.time()
    if ahead_s > CLOCK_TOLERANCE_S:
        yield report.warn(
            "clock",
            f"the newest record is stamped {ahead_s:.1f} s in the future: the clocks differ",
            "Synchronise the clocks (NTP) of the brokers, of the senders and of this machine.",
        )
    else:
        yield report.ok("clock", f"the newest record was sent {_ago(-ahead_s)} ago")


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h"
