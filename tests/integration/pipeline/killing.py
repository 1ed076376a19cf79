"""`kill -9` of a worker in the middle of its work, with the proof that there was work.

A worker is stopped (SIGSTOP) before it is measured and killed in that state, so what is asserted holds at the
instant of the kill.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.support.pipeline import Pipeline
from tests.support.waiting import HANGING_S, until, wait_until_stopped

SETTINGS: Mapping[str, str] = {
    # Rows wait this long in a worker's memory: most of the time it has some.
    "TOKENTIDE_WORKER_CHECKPOINT_SECONDS": "1",
    "TOKENTIDE_METRICS_PORT": "0",
    "TOKENTIDE_LOG_FORMAT": "json",
    # So long the group waits for the dead.
    "TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS": "3",
    "TOKENTIDE_WORKER_HEARTBEAT_SECONDS": "1",
}
"""What a pipeline needs for `kill_with_work_in_hand`."""

_SAMPLE = re.compile(r"^([a-z_]+)(\{.*\})? ([0-9.e+-]+)$", re.MULTILINE)
_PARTITION = re.compile(r'partition="(\d+)"')


class Killed(NamedTuple):
    """What a worker and the whole had done, and had not, when the worker was killed."""

    place: int
    held_rows: int
    """Events in its memory, read and not committed."""
    committed: Mapping[int, int]
    """Of its partitions: the next record to read for whoever takes over."""
    ends: Mapping[int, int]
    """Of its partitions: the end of the log."""
    stored: Mapping[str, int]
    """Events in ClickHouse by service."""


class _Load(NamedTuple):
    held_rows: int
    partitions: frozenset[int]


def start_ready_workers(running: Pipeline, count: int) -> None:
    """Start workers and wait until each has begun."""
    before = len(running.workers)
    running.start_workers(count)
    places = range(before, before + count)
    until(lambda: all("worker started" in _log(running, place) for place in places), what="starting")


class Fed:
    """A command that sends what it gets by its standard input: bit by bit, as the test wants."""

    def __init__(self, process: subprocess.Popen[bytes], lines: Sequence[bytes]) -> None:
        self._process = process
        self._lines = list(lines)
        self._next = 0
        self._bit = max(1, len(lines) // 150)

    def send_some(self) -> None:
        self._send(self._bit)

    def send_rest(self) -> None:
        self._send(len(self._lines))

    def is_sending(self) -> bool:
        return self._process.poll() is None and self._next < len(self._lines)

    def _send(self, count: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"".join(self._lines[self._next : self._next + count]))
        self._process.stdin.flush()
        self._next += count


def kill_with_work_in_hand(
    running: Pipeline, places: Sequence[int], senders: Sequence[Fed], totals: Mapping[str, int]
) -> Killed:
    """`kill -9` one of the workers while it holds events that nobody has stored for certain, and there is more to come.

    Of each service of `totals` some events are stored and some are not. More is sent when all that was sent is
    committed, so that no worker is too slow to be found at work.
    """
    for place in itertools.cycle(places):
        before = _committed(running)
        load = _load(running, place)
        if not load.held_rows or not any(before.get(partition, 0) for partition in load.partitions):
            if all(before.get(partition, 0) >= end for partition, end in _ends(running).items()):
                for sender in senders:
                    sender.send_some()
                assert all(sender.is_sending() for sender in senders), "no worker had work in hand"
            continue
        with _stopped(running.workers[place]):
            found = _measure(running, place, load)
            # No commit since it was asked: what it held then it holds now.
            is_same = all(
                before.get(partition, 0) == found.committed[partition] for partition in load.partitions
            )
            if is_same and all(found.stored.get(service, 0) for service in totals):
                running.kill_worker(place)
                _assert_in_the_middle(found, totals)
                return found
    raise AssertionError("there are no workers")


def kill_at_random(running: Pipeline, sender: Fed, times: int, chance: random.Random) -> None:
    """`kill -9` any worker at any moment while there is more to come, and start another, several times."""
    for _ in range(times):
        for _ in range(chance.randint(1, 8)):
            sender.send_some()
            time.sleep(0.1)
        assert sender.is_sending()
        living = [place for place, worker in enumerate(running.workers) if worker.poll() is None]
        running.kill_worker(chance.choice(living))
        running.start_workers(1)


def read_again(running: Pipeline) -> int:
    """Stored events that living workers have folded again, since a segment is read from its start."""
    return sum(
        int(_samples(running, place).get(("tokentide_events_read_again_total", ""), 0))
        for place, worker in enumerate(running.workers)
        if worker.poll() is None
    )


def _assert_in_the_middle(found: Killed, totals: Mapping[str, int]) -> None:
    assert found.held_rows > 0
    assert sum(found.committed.values()) > 0
    assert any(found.committed[partition] < end for partition, end in found.ends.items())
    for service, total in totals.items():
        assert 0 < found.stored[service] < total, service


def _measure(running: Pipeline, place: int, load: _Load) -> Killed:
    committed = _committed(running)
    ends = _ends(running)
    stored = running.client.query("SELECT service, count() FROM events GROUP BY service").result_rows
    return Killed(
        place,
        load.held_rows,
        {partition: committed.get(partition, 0) for partition in load.partitions},
        {partition: ends[partition] for partition in load.partitions},
        {str(service): int(count) for service, count in stored},
    )


def _committed(running: Pipeline) -> dict[int, int]:
    group = running.environment["TOKENTIDE_WORKER_GROUP_ID"]
    return running.broker.committed(group, f"{running.prefix}events")


def _ends(running: Pipeline) -> dict[int, int]:
    return running.broker.end_offsets(f"{running.prefix}events")


@contextmanager
def _stopped(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    worker.send_signal(signal.SIGSTOP)
    wait_until_stopped(worker.pid)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)  # nothing, if it has ended


def _load(running: Pipeline, place: int) -> _Load:
    samples = _samples(running, place)
    partitions = {
        int(found[1])
        for name, labels in samples
        if name == "tokentide_lag_records" and (found := _PARTITION.search(labels))
    }
    return _Load(int(samples.get(("tokentide_held_rows", ""), 0)), frozenset(partitions))


def _samples(running: Pipeline, place: int) -> dict[tuple[str, str], float]:
    """A worker's metrics by name and labels."""
    entries = [json.loads(line) for line in _log(running, place).splitlines() if line.startswith("{")]
    address = next((entry["metrics"] for entry in entries if "metrics" in entry), None)
    if address is None:
        return {}
    with urllib.request.urlopen(address, timeout=HANGING_S) as answer:
        found = _SAMPLE.findall(answer.read().decode())
    return {(name, labels): float(value) for name, labels, value in found}


def _log(running: Pipeline, place: int) -> str:
    text = (running.folder / f"worker-{place}.log").read_text()
    return text[: text.rfind("\n") + 1]  # the last line may be half written
