"""Recorded traces through the whole path, two at a time: each trace sees every way, and both brokers in the hard ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.trace_ways import WAYS, Way, assert_right, pipeline_for, send
from tests.integration.pipeline.traces import CLAUDE_CODE, EXGENTIC, MOONCAKE, RAGPULSE, Trace
from tests.support.brokers import Broker

pytestmark = pytest.mark.data

SHARES: dict[tuple[str, Way], tuple[Trace, ...]] = {
    ("embedded", "one worker"): (MOONCAKE, CLAUDE_CODE),
    ("apache_kafka", "one worker"): (RAGPULSE, EXGENTIC),
    ("embedded", "three workers"): (MOONCAKE, EXGENTIC),
    ("apache_kafka", "three workers"): (RAGPULSE, CLAUDE_CODE),
    ("embedded", "killed"): (RAGPULSE, CLAUDE_CODE),
    ("apache_kafka", "killed"): (MOONCAKE, EXGENTIC),
}


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_mooncake_ragpulse_exgentic_and_claude_code_in_pairs(
    new_pipeline: NewPipeline, broker: Broker, public_data: Path, way: Way
) -> None:
    traces = SHARES[broker.kind, way]
    running = pipeline_for(new_pipeline, way)
    send(running, way, public_data, *traces)

    counted = assert_right(running, public_data, *traces)
    if MOONCAKE in traces:
        ((cached,),) = running.client.query(
            "SELECT sum(cache_read_input_tokens) FROM events WHERE service = 'mooncake'"
        ).result_rows
        assert (cached, counted["mooncake"].input_tokens) == (25_555_226, 73_604_194)


def test_each_trace_sees_every_way_and_both_brokers() -> None:
    for trace in (MOONCAKE, RAGPULSE, EXGENTIC, CLAUDE_CODE):
        seen = [place for place, traces in SHARES.items() if trace in traces]
        assert {way for _, way in seen} == set(WAYS), trace.format
        assert {kind for kind, way in seen if way != "one worker"} == {"embedded", "apache_kafka"}, (
            trace.format
        )
