"""The worker's Faust app, built and not connected."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tokentide.config import Settings
from tokentide.stream.app import new_app
from tokentide.stream.transport.turns import InTurns


class NoReader:
    """Is never called here."""

    plan_start = consume = consume_windows = revoked = None


def built(**worker: Any) -> Any:
    return new_app(Settings.model_validate({"worker": worker}), NoReader())


def test_its_start_leaves_nothing_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asyncio.run(built().on_first_start())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stages", "agents"),
    [(["ingest"], {"ingest"}), (["detect"], {"detect"}), (["ingest", "detect"], {"ingest", "detect"})],
)
def test_it_consumes_the_topics_of_its_stages(stages, agents):
    assert set(built(stages=stages).agents) == agents


def test_between_consumer_and_agents_partitions_take_turns():
    assert isinstance(asyncio.run(queue_of(built())), InTurns)


async def queue_of(app: Any) -> Any:
    return app.FlowControlQueue(1)
