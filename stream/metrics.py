"""Every metric of the worker: its name, kind, unit, meaning, and what to do about it. The values are `worker_metrics`' matter.

Names follow Prometheus (https://prometheus.io/docs/practices/naming/): the unit in the name, `_total` for what only grows.
docs/operations.md holds the same list, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge"]


class MetricInfo(NamedTuple):
    """What is known of a metric beside its value."""

    name: str
    kind: Kind
    meaning: str
    advice: str = ""
    """When to look, and what to do; empty where the meaning says it all."""
    labels: tuple[str, ...] = ()


def _counter(name: str, meaning: str, advice: str = "", *, labels: Sequence[str] = ()) -> MetricInfo:
    return MetricInfo(f"tokentide_{name}_total", "counter", meaning, advice, tuple(labels))


def _gauge(name: str, meaning: str, advice: str = "", *, labels: Sequence[str] = ()) -> MetricInfo:
    return MetricInfo(f"tokentide_{name}", "gauge", meaning, advice, tuple(labels))


class Metric(Enum):
    """All metrics, in the order of the answer. Counters start at 0 with the process."""

    RECORDS_READ = _counter("records_read", "Records of the events topic that were read for the first time.")
    EVENTS_FOLDED = _counter("events_folded", "Events that were counted, priced and folded into windows.")
    EVENTS_READ_AGAIN = _counter(
        "events_read_again",
        "Stored events that were folded again, because an open span is always read from its start.",
        "Grows at each start and each change of the group. Often: see why workers start or leave.",
    )
    DUPLICATES = _counter(
        "duplicates",
        "Events left out because their id had come before in the same span.",
        "Many: a producer sends again what was acknowledged.",
    )
    UNPRICED_EVENTS = _counter(
        "unpriced_events",
        "Events without a cost.",
        "Column `unpriced_reason` of the view `events` says why; prices.overrides_file adds prices.",
    )
    PARTS = _counter(
        "parts",
        "Evaluations, and requests, responses and errors that wait for their partner or are counted where that completes the call.",
    )
    INCOMPLETE_EVENTS = _counter(
        "incomplete_events",
        "Calls of requests or answers whose partner did not come in time: 15 minutes for an answer, one for a request.",
        "Many: requests and answers have different Kafka keys, services or request ids, or applications die in the middle.",
    )
    CROWDED_OUT_PARTS = _counter(
        "crowded_out_parts",
        "Of these, those given up early, because more than 64 MiB of parts waited in their partition.",
        "Above 0: use more partitions, send token counts in place of long texts, or send whole calls.",
    )
    WAITING_PARTS = _gauge(
        "waiting_parts",
        "Requests and answers that wait for their partner.",
        "Grows without end: answers are not sent, or with another key, service or request_id.",
    )
    SERIES_OVERFLOWS = _counter(
        "series_overflows",
        "Windows of series beyond windows.series_cap, counted as `__other__`; once for each batch that brings some.",
        "Above 0: raise windows.series_cap, or take a dimension out of windows.dimensions.",
    )
    DECODER_INFO = _gauge(
        "decoder_info",
        "Always 1; the label is the decoder that runs: `native` or `python`. The results are the same.",
        "`python` where speed matters: the line `worker started` of the log and `tokentide doctor` say why.",
        labels=["decoder"],
    )
    DECODER_DEFECTS = _counter(
        "decoder_defects",
        "Batches that the native decoder gave up because of a defect of its own; they were decoded in Python.",
        "Above 0: nothing is lost; report it, and set worker.decoder to python until it is mended.",
    )
    DROPPED_TEXTS = _counter(
        "dropped_texts",
        "Texts and error messages that were not kept because redacting them failed.",
        "Above 0: a defect of the redactor. Nothing passed it.",
    )
    REJECTS = _counter(
        "rejects",
        "Events refused, by reason; each is a dead letter.",
        "`tokentide tail rejects --from-beginning --no-follow` shows them.",
        labels=["reason"],
    )
    REJECT_ALARM = _gauge(
        "reject_alarm",
        "1 while too many events are refused: `share` by dead_letters.alarm_share, `run` by dead_letters.alarm_run.",
        "1: a producer sends what the contract does not know. The log names reasons and remedy.",
        labels=["kind"],
    )
    REJECT_ALARMS = _counter(
        "reject_alarms",
        "How often such an alarm began; tells of those that were over between two scrapes.",
        labels=["kind"],
    )
    HELD_ROWS = _gauge("held_rows", "Event rows in memory that wait for ClickHouse.")
    HELD_BYTES = _gauge(
        "held_bytes",
        "Their memory and that of waiting dead letters, in bytes.",
        "Near worker.event_rows_max_bytes: ClickHouse takes rows more slowly than they come.",
    )
    LET_GO_PARTITIONS = _gauge(
        "let_go_partitions",
        "Partitions whose rows were given up to save memory; they are read again once ClickHouse takes rows.",
        "Above 0: mend ClickHouse before topics.events_retention_hours is over.",
    )
    CHECKPOINTS = _counter("checkpoints", "Checkpoints that were stored and committed.")
    EVENTS_COMMITTED = _counter(
        "events_committed", "Events whose rows are durable and whose offsets are committed."
    )
    CHECKPOINT_DURATION_SECONDS = _gauge(
        "checkpoint_duration_seconds",
        "How long the last checkpoint took, from taking the rows to the commit.",
        "Much above worker.checkpoint_seconds: ClickHouse or Kafka is slow.",
    )
    LAST_COMMIT_AGE_SECONDS = _gauge(
        "last_commit_age_seconds",
        "Time since the last commit, or since the start; grows too when there is nothing to commit.",
        "Above a minute while rows are held or there is lag: ClickHouse or Kafka does not take what is sent.",
    )
    LAG_RECORDS = _gauge(
        "lag_records",
        "Records of an assigned partition that are still to be read; absent until the broker has told its end.",
        "Growing: more workers, up to one for each partition.",
        labels=["topic", "partition"],
    )
    CLICKHOUSE_FAILED_TRIES = _counter(
        "clickhouse_failed_tries",
        "Inserts that failed and are tried again, by table and ClickHouse's name of the error.",
        "Steady growth: the log names the error and what to do.",
        labels=["table", "error"],
    )
    PARTIALS_PUBLISHED = _counter(
        "partials_published",
        "States of windows sent to the windows topic, each whole, so a window counts several times.",
    )
    DETECT_PARTIALS = _counter("detect_partials", "States of windows that detection has read.")
    DETECT_REFUSED_RECORDS = _counter(
        "detect_refused_records",
        "Records of the windows topic that are none of a worker's.",
        "Above 0: something else writes to the windows topic.",
    )
    INCIDENT_MESSAGES = _counter(
        "incident_messages", "Messages about incidents: opened, updated, resolved, explained."
    )
    DETECTION_CAUGHT_UP = _gauge(
        "detection_caught_up",
        "1 when detection has read back what it needs of each assigned partition; before, it says nothing.",
        "0 for minutes after a start: the windows topic is large, or detection gets too little of the processor.",
    )
    DETECTION_BROKEN_PARTITIONS = _gauge(
        "detection_broken_partitions",
        "Partitions whose detection a defect has ended.",
        "Above 0: report the line of the log, and start the worker again.",
    )
    BUILD_INFO = _gauge("build_info", "Always 1; the label is the version.", labels=["version"])
    PROCESS_CPU_SECONDS = MetricInfo(
        "process_cpu_seconds_total", "counter", "Processor time of the worker, user and system."
    )
    PROCESS_RESIDENT_MEMORY_BYTES = MetricInfo(
        "process_resident_memory_bytes", "gauge", "Memory of the worker; on Linux only."
    )
    PROCESS_START_TIME_SECONDS = MetricInfo(
        "process_start_time_seconds", "gauge", "When the worker started, seconds since 1970."
    )


class Sample(NamedTuple):
    """One value of a metric."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()
    """Values of the metric's labels, in their order."""


def metrics_markdown() -> str:
    """The list as a table, for docs/operations.md."""
    lines = ["| metric | kind | meaning | what to do |", "|---|---|---|---|"]
    for metric in Metric:
        info = metric.value
        labels = "{" + ",".join(info.labels) + "}" if info.labels else ""
        lines.append(f"| `{info.name}{labels}` | {info.kind} | {info.meaning} | {info.advice} |")
    return "\n".join(lines) + "\n"
