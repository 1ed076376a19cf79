"""A worker that gets a quarter of a core, and a backlog of calls in parts, which cost it most.

Before fetches were folded in slices and in a thread, one fetch took longer than `worker.stall_seconds`: the worker ended, began
at the same position, and so on for ever, and nobody could ask how it was.
"""

from __future__ import annotations

import time
import urllib.request

import pytest

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.test_metrics import address, scrape
from tests.support.brokers import Broker
from tests.support.slow_process import held_to
from tests.support.waiting import HANGING_S, until

SHARE = 0.25
EVENTS = 8_000
LOOKS = 60

SLOW = {
    "TOKENTIDE_METRICS_PORT": "0",
    "TOKENTIDE_LOG_FORMAT": "json",
    "TOKENTIDE_WORKER_STAGES": "ingest,detect",
    "TOKENTIDE_WORKER_STALL_SECONDS": "5",  # the least that the setting allows
    "TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS": "30",
    "TOKENTIDE_WORKER_HEARTBEAT_SECONDS": "3",
}


@pytest.fixture
def broker(embedded_broker: Broker) -> Broker:
    return embedded_broker


def test_it_reads_on_and_answers(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(**SLOW)
    made = ["--rate", "1000", "--parts", "0.1", "--history", "30m", "--no-live", "--count", str(EVENTS)]
    running.run("simulate", *made, "--quiet")
    running.start_workers(1)
    (worker,) = running.workers
    health = address(running, "health")
    read = []
    with held_to(SHARE, worker.pid):
        until(lambda: scrape(running).get("tokentide_records_read_total", 0) > 0, what="the first slice")
        for _ in range(LOOKS):
            assert urllib.request.urlopen(health, timeout=HANGING_S).read() == b"ok\n"
            read.append(scrape(running)["tokentide_records_read_total"])
            assert worker.poll() is None, running.logs()
            time.sleep(0.2)
    assert read[-1] > read[0]
    running.wait()
    running.run("audit")
    assert worker.poll() is None
    assert running.stop() == [0]
