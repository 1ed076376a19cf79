"""A worker that gets a quarter of a core, half an hour of backlog to read, and new traffic meanwhile: does it get on, and does it answer?

Once left alone, once killed (`kill -9`) every two minutes. What it must show: the worker never ends by itself, the lag falls, `/healthz`
answers within a second, and the audit agrees in the end.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from bench.figures import Figure
from bench.machine import cpu_seconds
from bench.stand import Stand
from tests.support import children
from tests.support.pipeline import Pipeline
from tests.support.ports import unused_port
from tests.support.slow_process import held_to

SHARE = 0.25
KILL_EVERY_S = 120
CALLS = ("--rate", "1000", "--parts", "0.1", "--quiet")


class Run(NamedTuple):
    """What was seen."""

    health_s: list[float]
    """How long each answer of `/healthz` took."""
    lag: list[int]
    """Records not read yet, every second."""
    unasked_ends: int
    kills: int
    cpu_share: float


def starved(stand: Stand, *, minutes: float, is_killed: bool) -> list[Figure]:
    """One run, which is audited afterwards."""
    name = "killed every two minutes" if is_killed else "left alone"
    run = _run(stand, minutes, KILL_EVERY_S if is_killed else None)
    eighths = [run.lag[(len(run.lag) - 1) * part // 8] for part in range(9)]
    print(f"{name}: records not read, in eighths of the time: {eighths}", file=sys.stderr)
    return [
        Figure(f"{name}: slowest answer of /healthz", "s", [max(run.health_s)]),
        Figure(f"{name}: answers of /healthz", "", [len(run.health_s)]),
        Figure(f"{name}: ends of the worker that nobody asked for", "", [run.unasked_ends]),
        Figure(f"{name}: kills", "", [run.kills]),
        Figure(f"{name}: records not read, most", "", [max(run.lag)]),
        Figure(f"{name}: records not read, at the end", "", [run.lag[-1]]),
        Figure(f"{name}: processor of the worker", "% of a core", [100 * run.cpu_share]),
    ]


def _run(stand: Stand, minutes: float, kill_every_s: float | None) -> Run:
    port = unused_port()
    with stand.pipeline(
        TOKENTIDE_WORKER_STAGES="ingest,detect", TOKENTIDE_METRICS_PORT=str(port), TOKENTIDE_LOG_FORMAT="json"
    ) as made:
        made.run("simulate", *CALLS, "--history", f"{minutes:g}m", "--no-live", "--seed", "7")
        with _live(made):
            found = _watched(made, port, minutes * 60, kill_every_s)
        made.wait()
        made.run("audit")
        made.stop()
    return found


@contextlib.contextmanager
def _live(made: Pipeline) -> Iterator[None]:
    command = [sys.executable, "-m", "tokentide", "simulate", *CALLS, "--seed", "8"]
    sending = children.start(command, env=made.environment, cwd=made.folder, stdout=subprocess.DEVNULL)
    try:
        yield
        assert sending.poll() is None, "the live traffic ended by itself"
    finally:
        sending.terminate()
        sending.wait()


def _watched(made: Pipeline, port: int, seconds: float, kill_every_s: float | None) -> Run:
    health_s: list[float] = []
    lag: list[int] = []
    unasked = kills = 0
    used_s = used = 0.0
    over = time.monotonic() + seconds
    began = time.monotonic()
    while time.monotonic() < over:
        made.start_workers(1)
        worker = made.workers[-1]
        until_s = min(over, time.monotonic() + (kill_every_s or seconds))
        with held_to(SHARE, worker.pid):
            while time.monotonic() < until_s and worker.poll() is None:
                asked = time.monotonic()
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60).read()
                    health_s.append(time.monotonic() - asked)
                    lag.append(lag_now(port, lag))
                if worker.poll() is None:
                    used = used_s + cpu_seconds(worker.pid)
                time.sleep(1)
        used_s = used
        if worker.poll() is not None:
            unasked += 1
            print(f"the worker ended with {worker.returncode}", file=sys.stderr)
        elif time.monotonic() < over:
            made.kill_worker(len(made.workers) - 1)
            kills += 1
    return Run(health_s, lag, unasked, kills, used_s / (time.monotonic() - began))


def lag_now(port: int, before: list[int]) -> int:
    """Of all partitions; where it is not known yet, as before."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()
    found = [
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("tokentide_lag_records{")
    ]
    return int(sum(found)) if found else (before[-1] if before else 0)
