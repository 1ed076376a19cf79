"""BurstGPT through the whole path, with workers that are killed at random moments too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.trace_ways import WAYS, Way, assert_right, pipeline_for, send
from tests.integration.pipeline.traces import BURSTGPT, Totals

pytestmark = [pytest.mark.data, pytest.mark.long]


@pytest.mark.parametrize("way", WAYS)
def test_burstgpt_with_workers_killed_at_random_moments_too(
    new_pipeline: NewPipeline, public_data: Path, way: Way
) -> None:
    running = pipeline_for(new_pipeline, way)
    send(running, way, public_data, BURSTGPT, at_random=3)

    assert assert_right(running, public_data, BURSTGPT) == {
        "burstgpt": Totals(10_796, 954, 6_576_387, 2_593_858)
    }
    by_model = running.client.query(
        "SELECT model, sum(calls), sum(errors), sum(priced_calls) FROM windows GROUP BY model"
    ).result_rows
    assert {model: tuple(map(int, numbers)) for model, *numbers in by_model} == {
        "gpt-3.5-turbo": (7111, 508, 7111),
        "gpt-4": (3685, 446, 3685),
    }
