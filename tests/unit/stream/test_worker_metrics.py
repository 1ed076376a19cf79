from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tokentide import __version__
from tokentide.schemas.rejects import RejectReason
from tokentide.sinks.clickhouse import FailedTry
from tokentide.stream.counts import FailedTries, IngestCounts, Standing
from tokentide.stream.decoder_choice import choose_decoder
from tokentide.stream.detection import Progress
from tokentide.stream.metrics import Metric, Sample
from tokentide.stream.metrics_text import exposition
from tokentide.stream.reject_alarm import RejectAlarm
from tokentide.stream.taken import Runs, Taken
from tokentide.stream.transport.fetched import Place
from tokentide.stream.worker_metrics import (
    decoder_samples,
    detect_samples,
    ingest_samples,
    lag_samples,
    process_samples,
    sink_samples,
)

P0, P1 = ("llm.events", 0), ("llm.events", 1)


class CaughtUpDetection:
    progress = Progress(partials=9, refused_records=1, messages=3)
    has_caught_up = True
    broken_partitions = 2

    def positions(self) -> Mapping[Place, int]:
        return {}


def counted() -> IngestCounts:
    counts = IngestCounts(RejectAlarm(share=0.01, run=5), clock=lambda: 50.0)
    counts.took(P0, Taken(10, 6, 1, 2, 3, {RejectReason.CLOCK: 8}, Runs(8, 8, 8), 4, 5, 2, 1))
    counts.committed(events=4, seconds=0.5)
    return counts


def values(samples: Iterable[Sample]) -> dict[str, float]:
    """By metric and labels."""
    return {".".join([sample.metric.name, *sample.labels]): sample.value for sample in samples}


def test_what_was_counted_is_told() -> None:
    found = values(ingest_samples(counted(), {}, partials_sent=77, dropped_texts=6))
    expected = {
        "RECORDS_READ": 10, "EVENTS_FOLDED": 6, "DUPLICATES": 1, "UNPRICED_EVENTS": 2, "EVENTS_READ_AGAIN": 3,
        "REJECTS.clock": 8, "REJECTS.empty": 0, "REJECT_ALARM.run": 1, "REJECT_ALARMS.run": 1, "REJECT_ALARM.share": 0,
        "CHECKPOINTS": 1, "EVENTS_COMMITTED": 4, "CHECKPOINT_DURATION_SECONDS": 0.5, "LAST_COMMIT_AGE_SECONDS": 0,
        "PARTIALS_PUBLISHED": 77, "HELD_ROWS": 0, "SERIES_OVERFLOWS": 4, "PARTS": 5, "INCOMPLETE_EVENTS": 2, "CROWDED_OUT_PARTS": 1, "DROPPED_TEXTS": 6,
    }  # fmt: skip
    assert found.items() >= expected.items()


def test_every_reason_is_there_before_its_first_reject() -> None:
    found = values(ingest_samples(counted(), {}, 0))
    assert {name for name in found if name.startswith("REJECTS.")} == {
        f"REJECTS.{reason}" for reason in RejectReason
    }


def test_what_is_held_is_that_of_all_partitions_and_of_the_rows_on_their_way() -> None:
    counts = counted()
    counts.storing_rows, counts.storing_bytes = 100, 1_000
    found = values(
        ingest_samples(
            counts,
            {
                P0: Standing(5, 1, 10, waiting_parts=3),
                P1: Standing(6, 2, 20, has_let_go=True, waiting_parts=4),
            },
            0,
        )
    )
    assert found["WAITING_PARTS"] == 7
    assert (found["HELD_ROWS"], found["HELD_BYTES"], found["LET_GO_PARTITIONS"]) == (103, 1_030, 1)


def test_lag_is_the_distance_to_the_known_end() -> None:
    ends = {P0: 30, P1: 4}
    found = values(lag_samples({P1: 5, P0: 10, ("llm.windows", 2): 1}, ends.get))
    assert found == {"LAG_RECORDS.llm.events.0": 20, "LAG_RECORDS.llm.events.1": 0}


def test_detection_says_how_far_it_is() -> None:
    assert values(detect_samples(CaughtUpDetection())) == {
        "DETECT_PARTIALS": 9,
        "DETECT_REFUSED_RECORDS": 1,
        "INCIDENT_MESSAGES": 3,
        "DETECTION_CAUGHT_UP": 1,
        "DETECTION_BROKEN_PARTITIONS": 2,
    }


def test_failures_of_clickhouse_have_table_and_error() -> None:
    tries = FailedTries()
    assert list(sink_samples(tries)) == []
    tries.failed(FailedTry("llm_events", 10, None, "NO_ANSWER", 1, 0.1))
    assert values(sink_samples(tries)) == {"CLICKHOUSE_FAILED_TRIES.llm_events.NO_ANSWER": 1}


def test_the_process_tells_of_itself() -> None:
    found = values(process_samples(1_769_860_860.25))
    assert found[f"BUILD_INFO.{__version__}"] == 1
    assert found["PROCESS_START_TIME_SECONDS"] == 1_769_860_860.25
    assert found["PROCESS_CPU_SECONDS"] > 0
    assert found.get("PROCESS_RESIDENT_MEMORY_BYTES", 1 << 20) >= 1 << 20


def test_without_proc_there_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def read_text(self) -> str:
            raise FileNotFoundError

    monkeypatch.setattr("tokentide.stream.worker_metrics._STATM", Nothing())
    assert "PROCESS_RESIDENT_MEMORY_BYTES" not in values(process_samples(0.0))


def test_the_decoder_that_runs_is_told() -> None:
    decoder = choose_decoder("python")
    assert values(decoder_samples(decoder)) == {"DECODER_INFO.python": 1, "DECODER_DEFECTS": 0}
    decoder.defects += 2
    assert values(decoder_samples(decoder))["DECODER_DEFECTS"] == 2


def test_every_metric_of_the_list_has_a_value_and_is_served() -> None:
    tries = FailedTries()
    tries.failed(FailedTry("llm_events", 10, None, "NO_ANSWER", 1, 0.1))
    samples = [
        *ingest_samples(counted(), {P0: Standing(5)}, 0),
        *detect_samples(CaughtUpDetection()),
        *lag_samples({P0: 5}, {P0: 9}.get),
        *sink_samples(tries),
        *decoder_samples(choose_decoder("python")),
        *process_samples(0.0),
    ]
    assert {sample.metric for sample in samples} == set(Metric)
    assert all(f"# TYPE {metric.value.name} " in exposition(samples) for metric in Metric)
