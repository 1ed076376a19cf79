from __future__ import annotations

import re

from tokentide.stream.metrics import Metric, Sample
from tokentide.stream.metrics_text import exposition

NAME = re.compile(r"(tokentide|process)_[a-z0-9]+(_[a-z0-9]+)*")


def test_samples_are_grouped_under_their_metric_in_the_order_of_the_list() -> None:
    text = exposition(
        [
            Sample(Metric.HELD_ROWS, 7),
            Sample(Metric.REJECTS, 1, ("clock",)),
            Sample(Metric.RECORDS_READ, 12),
            Sample(Metric.REJECTS, 2, ("empty",)),
        ]
    )
    assert text == (
        "# HELP tokentide_records_read_total Records of the events topic that were read for the first time.\n"
        "# TYPE tokentide_records_read_total counter\n"
        "tokentide_records_read_total 12\n"
        "# HELP tokentide_rejects_total Events refused, by reason; each is a dead letter.\n"
        "# TYPE tokentide_rejects_total counter\n"
        'tokentide_rejects_total{reason="clock"} 1\n'
        'tokentide_rejects_total{reason="empty"} 2\n'
        "# HELP tokentide_held_rows Event rows in memory that wait for ClickHouse.\n"
        "# TYPE tokentide_held_rows gauge\n"
        "tokentide_held_rows 7\n"
    )


def test_values_of_labels_are_escaped() -> None:
    text = exposition([Sample(Metric.BUILD_INFO, 1, ('a"b\\c\nd',))])
    assert text.splitlines()[-1] == r'tokentide_build_info{version="a\"b\\c\nd"} 1'


def test_numbers_are_written_exactly() -> None:
    text = exposition(
        [Sample(Metric.HELD_BYTES, 123_456_789_012), Sample(Metric.CHECKPOINT_DURATION_SECONDS, 0.1)]
    )
    assert "tokentide_held_bytes 123456789012\n" in text
    assert "tokentide_checkpoint_duration_seconds 0.1\n" in text


def test_names_follow_prometheus() -> None:
    for metric in Metric:
        info = metric.value
        assert NAME.fullmatch(info.name), info.name
        assert info.name.endswith("_total") == (info.kind == "counter"), info.name
    assert len({metric.value.name for metric in Metric}) == len(Metric)
