"""A whole run on one machine: a real broker; ClickHouse and workers are stand-ins, so that they do as the test says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support import children
from tests.support.waiting import HANGING_S, until
from tokentide.config.sources import NOT_SETTINGS
from tokentide.embedded.data_dir import is_held, read_run
from tokentide.embedded.errors import (
    BrokerMemoryError,
    DataDirError,
    PortUnavailableError,
    ProcessFailedError,
    StoppedWhileStartingError,
)
from tokentide.embedded.kafka_probe import ask_cluster
from tokentide.embedded.ports import accepts_connections
from tokentide.embedded.progress import Progress
from tokentide.embedded.restarts import RestartPolicy
from tokentide.embedded.run_options import SupervisorOptions
from tokentide.embedded.services import clickhouse_command, ping
from tokentide.embedded.supervisor import Supervisor

pytestmark = pytest.mark.embedded

STAND_INS = Path(__file__).parent / "stand_ins"
WORKER = [sys.executable, str(STAND_INS / "worker.py")]
QUICK = RestartPolicy(max_restarts=2, window_s=2 * HANGING_S, first_delay_s=0.05, max_delay_s=0.1)


def stand_in_clickhouse(data_dir: Path, port: int) -> list[str]:
    return [sys.executable, str(STAND_INS / "clickhouse_ping.py"), str(data_dir), str(port)]


class Run:
    """A supervisor in a folder of its own, with what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.told: list[Progress] = []
        self.started: list[Supervisor] = []

    def make(self, **options) -> Supervisor:
        environment = {"STAND_IN_FOLDER": str(self.folder), **options.pop("environment", {})}
        given = {
            "data_dir": self.data_dir,
            "worker_command": WORKER,
            "clickhouse_command": stand_in_clickhouse,
            "restarts": QUICK,
            "worker_stop_grace_s": HANGING_S,
            **options,
        }
        supervisor = Supervisor(
            SupervisorOptions(environment=environment, **given), on_progress=self.told.append
        )
        self.started.append(supervisor)
        return supervisor

    def start(self, **options) -> Supervisor:
        supervisor = self.make(**options)
        supervisor.start()
        return supervisor

    def events(self, event: str) -> list[str]:
        return [progress.stage for progress in self.told if progress.event == event]

    def log(self, name: str) -> str:
        return (self.data_dir / "logs" / f"{name}.log").read_text()


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    yield run
    for supervisor in run.started:
        supervisor.kill()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def all_pids(state) -> list[int]:
    return [state.broker.pid, state.clickhouse.pid, *(worker.pid for worker in state.workers)]


class TestStart:
    def test_everything_is_ready_and_at_the_addresses_that_are_told(self, run):
        state = run.start(workers=2).state
        host, port = state.kafka_bootstrap_servers.split(":")
        assert ask_cluster(host, int(port)).brokers == ((host, int(port)),)
        assert state.clickhouse_url.startswith("http://default@127.0.0.1:")
        assert state.clickhouse_url.endswith("/tokentide")
        assert ping(int(state.clickhouse_url.rpartition(":")[2].partition("/")[0])) is None
        assert [worker.name for worker in state.workers] == ["worker-1", "worker-2"]
        assert all(is_alive(pid) for pid in all_pids(state))
        assert state.pid == os.getpid()

    def test_the_order_is_broker_clickhouse_preparation_workers(self, run):
        prepared = []
        supervisor = run.start(prepare=lambda addresses: prepared.append((addresses, run.events("starting"))))
        assert prepared == [(supervisor.state.addresses, ["broker", "clickhouse", "prepare"])]
        assert run.events("starting") == ["broker", "clickhouse", "prepare", "worker-1"]
        assert run.events("ready") == ["broker", "clickhouse", "prepare", "worker-1"]
        assert all(progress.seconds > 0 for progress in run.told if progress.event == "ready")

    def test_workers_are_told_these_addresses_and_none_of_the_users_other_kafka(self, run, monkeypatch):
        for variable in NOT_SETTINGS:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS", "prod-1:9093")
        monkeypatch.setenv("TOKENTIDE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
        monkeypatch.setenv("TOKENTIDE_CLICKHOUSE_TLS_CA_FILE", "/etc/ca.pem")
        monkeypatch.setenv("TOKENTIDE_TOPICS_PREFIX", "mine.")
        monkeypatch.setenv("TOKENTIDE_WORKER_HEARTBEAT_SECONDS", "1")
        state = run.start(environment={"TOKENTIDE_LOG_LEVEL": "debug"}).state
        seen = json.loads((run.folder / f"worker-{state.workers[0].pid}.json").read_text())
        assert seen == {
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": state.kafka_bootstrap_servers,
            "TOKENTIDE_CLICKHOUSE_URL": state.clickhouse_url,
            "TOKENTIDE_TOPICS_PREFIX": "mine.",
            "TOKENTIDE_LOG_LEVEL": "debug",
            "TOKENTIDE_WORKER_FETCH_MAX_WAIT_MS": "1000",
            "TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS": "6",
            "TOKENTIDE_WORKER_HEARTBEAT_SECONDS": "1",
        }

    def test_each_worker_may_have_variables_of_its_own_and_keeps_them_when_it_is_started_again(self, run):
        supervisor = run.start(
            workers=2,
            environment={"TOKENTIDE_METRICS_PORT": "1"},
            environment_of_worker=lambda number: {"TOKENTIDE_METRICS_PORT": str(9100 + number)},
        )
        os.kill(supervisor.state.workers[1].pid, signal.SIGKILL)
        until(lambda: run.events("ready").count("worker-2") == 2)
        seen = [
            json.loads((run.folder / f"worker-{worker.pid}.json").read_text())["TOKENTIDE_METRICS_PORT"]
            for worker in supervisor.state.workers
        ]
        assert seen == ["9101", "9102"]

    def test_the_run_can_be_read_from_its_folder_while_it_lives(self, run):
        supervisor = run.start()
        assert read_run(run.data_dir) == supervisor.state
        supervisor.stop()
        assert read_run(run.data_dir) is None

    def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(self, run):
        first = run.start()
        with pytest.raises(DataDirError, match=f"in use by process {os.getpid()}"):
            run.start()
        assert all(is_alive(pid) for pid in all_pids(first.state))
        assert read_run(run.data_dir) == first.state

    @pytest.mark.parametrize(
        ("option", "flag"), [("kafka_port", "--kafka-port"), ("clickhouse_port", "--clickhouse-port")]
    )
    def test_a_taken_port_ends_the_start_and_leaves_nothing(self, run, tmp_path, option, flag):
        other = Run(tmp_path / "other")
        other.folder.mkdir()
        taken = other.start(workers=0).state
        port = int(taken.kafka_bootstrap_servers.rpartition(":")[2])
        with pytest.raises(PortUnavailableError, match=f"{port}.*{flag} N"):
            run.start(**{option: port})
        assert not is_held(run.data_dir)
        until(lambda: run.events("stopped") == run.events("ready"))
        other.started[0].kill()

    def test_a_worker_that_cannot_start_ends_it_with_its_last_words(self, run):
        with pytest.raises(
            ProcessFailedError, match=r"worker-1 ended with exit code 1 before(.|\n)*the gate is jammed"
        ):
            run.start(environment={"BEHAVIOUR": "crashes"})
        assert not is_held(run.data_dir)
        assert run.events("stopped") == ["broker", "clickhouse"]

    def test_a_failed_preparation_ends_it_with_that_failure(self, run):
        def refuse(_):
            raise LookupError("no such migration")

        with pytest.raises(LookupError, match="no such migration"):
            run.start(prepare=refuse)
        assert run.events("stopped") == ["broker", "clickhouse"]
        assert run.events("starting")[-1] == "prepare"

    def test_a_stop_during_the_start_ends_it(self, run):
        def stop_meanwhile(_):
            stopper.start()
            until(lambda: supervisor._is_stopping)

        supervisor = run.make(prepare=stop_meanwhile)
        stopper = threading.Thread(target=supervisor.stop)
        with pytest.raises(StoppedWhileStartingError):
            supervisor.start()
        stopper.join()
        assert not is_held(run.data_dir)
        assert "worker-1" not in run.events("starting")

    def test_no_worker_at_all_is_a_run_too(self, run):
        assert run.start(workers=0, worker_command=()).state.workers == ()

    def test_workers_without_a_command_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="worker_command is empty"):
            SupervisorOptions(data_dir=tmp_path, workers=1)


class TestDeaths:
    def test_a_killed_worker_is_started_again_and_its_new_id_is_told(self, run):
        supervisor = run.start(workers=2)
        before = supervisor.state
        os.kill(before.workers[0].pid, signal.SIGKILL)
        until(lambda: run.events("ready").count("worker-1") == 2)
        after = supervisor.state
        assert after.workers[0].pid != before.workers[0].pid
        assert (after.workers[0].restarts, after.workers[1]) == (1, before.workers[1])
        assert is_alive(after.workers[0].pid)
        assert read_run(run.data_dir) == after
        assert run.events("restarting") == ["worker-1"]

    def test_a_worker_that_ends_by_itself_is_started_again_too(self, run):
        supervisor = run.start()
        os.kill(supervisor.state.workers[0].pid, signal.SIGTERM)
        until(lambda: run.events("ready").count("worker-1") == 2)

    def test_a_worker_that_was_asked_to_stop_stays_stopped(self, run):
        supervisor = run.start(workers=2)
        pid = supervisor.state.workers[0].pid
        supervisor.stop_worker("worker-1")
        assert not is_alive(pid)
        assert "worker stored" in run.log("worker-1")
        assert [worker.name for worker in supervisor.state.workers] == ["worker-2"]
        time.sleep(0.5)  # several looks of the supervisor
        assert run.events("restarting") == []
        with pytest.raises(KeyError):
            supervisor.stop_worker("worker-1")

    def test_a_worker_that_dies_again_and_again_ends_the_run_and_says_why(self, run):
        supervisor = run.start(environment={"BEHAVIOUR": "crashes_later"})
        state = supervisor.state
        (run.folder / "crash").touch()
        with pytest.raises(
            ProcessFailedError,
            match=r"worker-1 ended with exit code 1 \(3 deaths within 600 s(.|\n)*the gate is jammed",
        ):
            supervisor.wait(HANGING_S)
        assert not any(is_alive(pid) for pid in all_pids(state))
        assert not is_held(run.data_dir)
        assert run.events("failed") == ["run"]

    def test_a_dead_clickhouse_is_started_again_on_its_data_and_port(self, run):
        supervisor = run.start()
        before = supervisor.state
        os.kill(before.clickhouse.pid, signal.SIGKILL)
        until(lambda: run.events("ready").count("clickhouse") == 2)
        after = supervisor.state
        assert after.clickhouse_url == before.clickhouse_url
        assert after.clickhouse.pid != before.clickhouse.pid
        assert after.workers == before.workers
        assert ping(int(after.clickhouse_url.rpartition(":")[2].partition("/")[0])) is None
        assert (run.data_dir / "clickhouse" / "starts").read_text() == "start\nstart\n"

    def test_a_dead_broker_ends_the_run_and_says_what_is_lost(self, run):
        supervisor = run.start()
        state = supervisor.state
        os.kill(state.broker.pid, signal.SIGKILL)
        with pytest.raises(
            ProcessFailedError, match=r"broker was ended by SIGKILL .*no worker had stored is lost"
        ):
            supervisor.wait(HANGING_S)
        assert not any(is_alive(pid) for pid in all_pids(state))
        assert (run.folder / "ends").read_text() == "worker stored\n"

    def test_a_run_that_cannot_be_written_down_is_still_looked_after(self, run):
        supervisor = run.start()
        in_the_way = run.data_dir / "run.json.new"  # as on a full disk
        in_the_way.mkdir()
        for ready in (2, 3):
            os.kill(supervisor.state.workers[0].pid, signal.SIGKILL)
            until(lambda ready=ready: run.events("ready").count("worker-1") == ready)
        warnings = [progress.detail for progress in run.told if progress.event == "warning"]
        assert warnings == ["the files of the run cannot be written: Is a directory"]
        in_the_way.rmdir()
        until(lambda: read_run(run.data_dir) == supervisor.state)

    def test_a_broker_that_outgrows_its_memory_ends_the_run_in_order(self, run):
        supervisor = run.start(broker_memory_limit_bytes=1_000_000)  # it takes more from the start
        with pytest.raises(BrokerMemoryError, match="its limit is 1 MB"):
            supervisor.wait(HANGING_S)
        assert (run.folder / "ends").read_text() == "worker stored\n"

    def test_logs_that_grow_too_large_are_capped_while_their_writers_go_on(self, run, monkeypatch):
        monkeypatch.setattr("tokentide.embedded.supervisor._SELDOM_S", 0.1)
        run.start()
        log = run.data_dir / "logs" / "worker-1.log"
        with log.open("ab") as file:
            file.truncate(11 * 1024 * 1024)
        until(lambda: log.with_name("worker-1.log.1").exists() and log.stat().st_size < 1000)


class TestEnd:
    def test_workers_store_first_then_the_broker_ends_then_clickhouse(self, run):
        supervisor = run.start(workers=2)
        state = supervisor.state
        supervisor.stop()
        assert run.events("stopped")[-2:] == ["broker", "clickhouse"]
        assert sorted(run.events("stopped")[:-2]) == ["worker-1", "worker-2"]
        assert (run.folder / "ends").read_text() == "worker stored\n" * 2
        assert "clickhouse ends in order" in run.log("clickhouse")
        assert not any(is_alive(pid) for pid in all_pids(state))
        assert not is_held(run.data_dir)
        assert supervisor.wait(0)

    def test_a_second_stop_does_nothing(self, run):
        supervisor = run.start()
        supervisor.stop()
        told = len(run.told)
        supervisor.stop()
        assert len(run.told) == told

    def test_a_worker_that_does_not_end_is_killed_after_its_grace_time(self, run):
        supervisor = run.start(environment={"BEHAVIOUR": "deaf"}, worker_stop_grace_s=0.3)
        supervisor.stop()
        stopped = next(progress for progress in run.told if progress.event == "stopped")
        assert (stopped.stage, "was killed" in stopped.detail) == ("worker-1", True)

    def test_a_with_block_ends_the_run(self, run):
        with run.make() as supervisor:
            state = supervisor.state
        assert not any(is_alive(pid) for pid in all_pids(state))

    def test_a_folder_can_be_used_again_after_an_end(self, run):
        run.start().stop()
        run.start().stop()
        assert (run.data_dir / "clickhouse" / "starts").read_text() == "start\nstart\n"


COMMAND = """
import json, sys; from pathlib import Path
from tokentide.embedded.run_options import SupervisorOptions
from tokentide.embedded.supervisor import Supervisor
from tokentide.embedded.errors import EmbeddedError
stand_ins, folder = Path(sys.argv[1]), sys.argv[2]
options = SupervisorOptions(
    data_dir=Path(folder) / "data", workers=2, worker_command=[sys.executable, str(stand_ins / "worker.py")],
    clickhouse_command=lambda d, p: [sys.executable, str(stand_ins / "clickhouse_ping.py"), str(d), str(p)],
    environment={"STAND_IN_FOLDER": folder, "BEHAVIOUR": sys.argv[3]}, worker_stop_grace_s=60,
)
def ready(state): print(json.dumps(state.to_dict()), flush=True)
try:
    sys.exit(Supervisor(options, on_progress=lambda p: print(p.stage, p.event, file=sys.stderr)).run(ready))
except EmbeddedError as error:
    sys.exit(f"failed: {error}")
"""


class Command:
    """The supervisor as the main program of a process, as `tokentide up` runs it."""

    def __init__(self, folder: Path, behaviour: str = "") -> None:
        self.folder = folder
        self.process = children.start(
            [sys.executable, "-c", COMMAND, str(STAND_INS), str(folder), behaviour],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ready(self) -> list[int]:
        assert self.process.stdout is not None
        state = json.loads(self.process.stdout.readline())
        return [
            state["broker"]["pid"],
            state["clickhouse"]["pid"],
            *(worker["pid"] for worker in state["workers"]),
        ]

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=HANGING_S)
        return self.process.returncode, said


@pytest.fixture
def command(tmp_path):
    commands = []

    def start(behaviour: str = "") -> Command:
        commands.append(Command(tmp_path, behaviour))
        return commands[-1]

    yield start
    for command in commands:
        command.process.kill()
        command.process.communicate()


class TestAsCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_everything_in_order_with_exit_code_0(self, command, tmp_path, number):
        running = command()
        pids = running.ready()
        running.process.send_signal(number)
        assert running.end()[0] == 0
        assert (tmp_path / "ends").read_text() == "worker stored\n" * 2
        assert not any(is_alive(pid) for pid in pids)
        assert not (tmp_path / "data" / "run.json").exists()

    def test_a_second_signal_ends_everything_at_once(self, command, tmp_path):
        running = command("deaf")  # would take its 60 s
        pids = running.ready()
        running.process.send_signal(signal.SIGINT)
        until(lambda: "worker-1 stopping" in running.process.stderr.readline())
        running.process.send_signal(signal.SIGINT)
        assert running.end()[0] == 130
        assert not any(is_alive(pid) for pid in pids)
        assert not is_held(tmp_path / "data")

    def test_ctrl_c_in_the_terminal_does_not_reach_the_children_directly(self, command, tmp_path):
        running = command()
        running.ready()
        os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does
        assert running.end()[0] == 0
        assert (tmp_path / "ends").read_text() == "worker stored\n" * 2

    def test_a_signal_during_the_start_ends_it(self, command, tmp_path):
        running = command()
        until(lambda: "broker starting" in running.process.stderr.readline())
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 0
        assert not is_held(tmp_path / "data")

    def test_a_failure_is_an_exit_code_and_a_reason(self, command):
        running = command()
        os.kill(running.ready()[0], signal.SIGKILL)
        exit_code, said = running.end()
        assert exit_code == 1
        assert "failed: broker was ended by SIGKILL" in said

    def test_nothing_outlives_a_kill_of_the_command_itself(self, command, tmp_path):
        running = command()
        pids = running.ready()
        running.process.kill()
        running.end()
        until(lambda: not any(is_alive(pid) for pid in pids))
        assert not is_held(tmp_path / "data")
        assert read_run(tmp_path / "data") is None

        again = command()  # in the same folder, at once
        again.ready()


class TestWithTheRealClickHouse:
    def test_it_serves_survives_a_kill_and_ends_in_order(self, run):
        supervisor = run.start(clickhouse_command=clickhouse_command, workers=1)
        state = supervisor.state
        port = int(state.clickhouse_url.rpartition(":")[2].partition("/")[0])
        assert query(port, "CREATE TABLE default.t (n UInt64) ORDER BY n") == ""
        assert query(port, "INSERT INTO default.t SELECT number FROM numbers(10)") == ""
        os.kill(state.clickhouse.pid, signal.SIGKILL)
        until(lambda: run.events("ready").count("clickhouse") == 2)
        assert query(port, "SELECT sum(n) FROM default.t") == "45\n"
        supervisor.stop()
        assert not accepts_connections(port)
        stopped = [progress for progress in run.told if progress.event == "stopped"]
        assert [progress.detail for progress in stopped] == ["", "", ""]


def query(port: int, sql: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=sql.encode())
    with urllib.request.urlopen(request, timeout=HANGING_S) as answer:
        return answer.read().decode()
