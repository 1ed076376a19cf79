"""The worker as a process: what it says, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.integration.conftest import NewPipeline
from tests.support.waiting import HANGING_S, until

TOLD_TO_STOP_WHILE_IT_STARTS = """
import asyncio
from tests.support.waiting import HANGING_S, until
from tokentide.config import load_settings
from tokentide.stream.hard_end import HardEnd
from tokentide.stream.worker import Worker

async def main():
    worker = Worker(load_settings(), HardEnd())
    start = worker._app.start
    async def start_and_hear_sigterm():
        await start()
        worker._stop.set()
    worker._app.start = start_and_hear_sigterm
    return await worker.run()

raise SystemExit(asyncio.run(main()))
"""


def test_told_to_stop_while_it_starts_it_ends_without_a_word_of_python(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_WORKER_STAGES="ingest,detect")
    done = subprocess.run(
        [sys.executable, "-c", TOLD_TO_STOP_WHILE_IT_STARTS],
        env=running.environment, cwd=running.folder, capture_output=True, text=True, check=False, timeout=HANGING_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_it_makes_no_folders_and_logs_what_it_does_but_not_what_faust_does(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_WORKER_STAGES="ingest,detect")
    before = {path.name for path in running.folder.iterdir()}
    running.start_workers(1)
    until(lambda: "worker started" in running.logs(), what="starting")
    assert running.stop() == [0]
    assert {path.name for path in running.folder.iterdir()} - before == {"worker-0.log"}
    logged = [json.loads(line) for line in running.logs().splitlines()]
    of_the_worker = [entry for entry in logged if entry["logger"] == "tokentide.worker"]
    assert {entry["event"] for entry in of_the_worker} >= {"worker started", "worker stopped"}
    # What may be left is the Kafka client's, where a broker is slow to name its first group's coordinator.
    others = [entry for entry in logged if entry not in of_the_worker]
    assert [entry for entry in others if "GroupCoordinatorNotAvailableError" not in entry["event"]] == []


def test_without_its_topic_it_ends_and_says_what_makes_it(new_pipeline: NewPipeline) -> None:
    running = new_pipeline()
    running.environment["TOKENTIDE_TOPICS_PREFIX"] = f"{running.prefix}nowhere."
    running.start_workers(1)
    assert running.workers[0].wait(HANGING_S) == 20
    assert "tokentide init" in running.logs()
