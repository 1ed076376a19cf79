"""One run holds a data directory; others learn who, and a killed run leaves nothing that counts."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import children
from tokentide.embedded.data_dir import DataDir, is_held, read_run, run_file
from tokentide.embedded.errors import DataDirError
from tokentide.embedded.run_state import ProcessState, RunState


def process(name: str) -> ProcessState:
    return ProcessState(name=name, pid=1, started_at="2026-01-01T00:00:00.000+00:00", log=f"/logs/{name}.log")


STATE = RunState(
    kafka_bootstrap_servers="127.0.0.1:9092",
    clickhouse_url="http://default:secret@127.0.0.1:8123/tokentide",
    data_dir="/data",
    pid=4711,
    started_at="2026-01-01T00:00:00.000+00:00",
    broker=process("broker"),
    clickhouse=process("clickhouse"),
    workers=(process("worker-1"), process("worker-2")),
)


@pytest.fixture
def held(tmp_path):
    data_dir = DataDir.acquire(tmp_path)
    yield data_dir
    data_dir.release()


def test_the_layout_is_as_documented(held, tmp_path):
    assert (tmp_path / "logs").is_dir()
    assert held.log("worker-1") == tmp_path / "logs" / "worker-1.log"
    assert held.clickhouse == tmp_path / "clickhouse"


def test_a_second_run_is_refused_and_told_of_the_first(held, tmp_path):
    held.write_run(STATE)
    with pytest.raises(
        DataDirError, match=r"in use by process 4711, with Kafka at 127\.0\.0\.1:9092.*--data-dir"
    ) as caught:
        DataDir.acquire(tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("held")
def test_a_second_run_is_refused_while_the_first_still_starts(tmp_path):
    with pytest.raises(DataDirError, match="another run that starts or ends"):
        DataDir.acquire(tmp_path)


def test_a_released_directory_can_be_taken_again(tmp_path):
    DataDir.acquire(tmp_path).release()
    DataDir.acquire(tmp_path).release()


def test_a_run_is_read_back_as_it_was_written(held, tmp_path):
    held.write_run(STATE)
    assert read_run(tmp_path) == STATE


def test_the_file_of_a_run_names_the_workers_as_the_command_line_promises(held, tmp_path):
    held.write_run(STATE)
    assert [worker["pid"] for worker in json.loads(run_file(tmp_path).read_text())["workers"]] == [1, 1]


def test_only_its_owner_reads_the_file_of_a_run(held, tmp_path):
    held.write_run(STATE)
    assert stat.S_IMODE(run_file(tmp_path).stat().st_mode) == 0o600


def test_an_end_in_order_forgets_the_run(tmp_path):
    data_dir = DataDir.acquire(tmp_path)
    data_dir.write_run(STATE)
    data_dir.release()
    data_dir.release()
    assert not run_file(tmp_path).exists()
    assert read_run(tmp_path) is None


KILLED = """
import os, sys; from pathlib import Path; from tokentide.embedded.data_dir import DataDir
held = DataDir.acquire(Path(sys.argv[1])); (Path(sys.argv[1]) / "run.json").write_text(sys.argv[2])
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_left_behind_counts_for_nothing(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path, json.dumps(STATE.to_dict())], check=False)
    assert run_file(tmp_path).exists()
    assert not is_held(tmp_path)
    assert read_run(tmp_path) is None
    DataDir.acquire(tmp_path).release()


def test_a_child_does_not_inherit_the_lock(tmp_path):
    data_dir = DataDir.acquire(tmp_path)
    child = children.start([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    data_dir.release()
    try:
        DataDir.acquire(tmp_path).release()
    finally:
        child.communicate()


def test_looking_does_not_take_the_directory_from_one_who_wants_it(tmp_path):
    DataDir.acquire(tmp_path).release()
    look = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [look]).start()
    DataDir.acquire(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match=r"file/data cannot be used: Not a directory.*--data-dir"):
        DataDir.acquire(tmp_path / "file" / "data")


def test_the_path_may_be_relative_and_hold_spaces_and_umlauts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_dir = DataDir.acquire(Path("meine Daten äöü"))
    assert data_dir.root == tmp_path / "meine Daten äöü"
    data_dir.release()
