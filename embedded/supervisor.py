"""Runs everything on one machine: the broker, ClickHouse and the workers, from the first start to the last end.

Order of the start: lock of the data directory → broker → ClickHouse → what the caller prepares (topics, migrations)
→ workers. Order of the end: workers, so that they store what they hold → broker → ClickHouse → lock.

Who dies, and what happens then:
worker        started again after a pause; dying too often ends the run
ClickHouse    the same: its data is on disk, and workers wait for it
broker        ends the run: what it held and nobody had stored is lost with it
this process  all children end with it, SIGKILL included (`guard.py`)
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from tokentide.embedded import log_files, services
from tokentide.embedded.broker import start_broker
from tokentide.embedded.broker_memory import BrokerMemory, default_limit_bytes
from tokentide.embedded.data_dir import DataDir
from tokentide.embedded.ending import end_together
from tokentide.embedded.errors import EmbeddedError, StoppedWhileStartingError
from tokentide.embedded.listening import start_listening
from tokentide.embedded.memory import resident_bytes
from tokentide.embedded.ports import LOOPBACK
from tokentide.embedded.process import ManagedProcess
from tokentide.embedded.progress import Progress, Report
from tokentide.embedded.run_options import SupervisorOptions
from tokentide.embedded.run_state import Addresses, RunState, describe, utc_text
from tokentide.embedded.signals import EndingSignals
from tokentide.embedded.slot import Slot

_LOOK_S: Final = 0.1
_SELDOM_S: Final = 5.0
"""Between looks at sizes: of logs, of the broker's memory."""
_EXIT_INTERRUPTED: Final = 130
_BROKER_LOSS: Final = (
    "; what it held and no worker had stored is lost with it, since it keeps records in memory"
)


class Supervisor:
    """One run on one machine. `start`, then `wait`, then `stop`; or `run` for all of it; or a `with` block.

    A failure after the start ends all processes; `wait` and `run` raise it. A run cannot be started again.
    """

    def __init__(self, options: SupervisorOptions, *, on_progress: Report = lambda _: None) -> None:
        """Prepare a run; `on_progress` is called from several threads, never by two at once."""
        self._options = options
        self._on_progress = on_progress
        self._progress_lock = threading.RLock()
        self._started_at = 0.0
        self._data_dir: DataDir | None = None
        self._addresses: Addresses | None = None
        self._broker: ManagedProcess | None = None
        self._clickhouse: Slot | None = None
        self._workers: list[Slot] = []
        self._starting: list[ManagedProcess] = []
        self._signals: EndingSignals | None = None
        self._is_stopping = False
        # Guards the slots and the run file against the watching thread, and two ends at once.
        self._lock = threading.RLock()
        self._watcher: threading.Thread | None = None
        self._ended = threading.Event()
        self._failure: EmbeddedError | None = None
        self._is_state_old = False
        self._disk_trouble = ""

    # The run as a whole

    def start(self) -> RunState:
        """Start everything in order and return when all of it is ready.

        Raises:
            EmbeddedError: something is missing, in use, or does not come up; everything is ended again.
            StoppedWhileStartingError: `stop` was called, or a signal came, meanwhile; the same.
            Exception: what `prepare` raises; the same.
        """
        self._started_at = time.time()
        try:
            self._data_dir = DataDir.acquire(self._options.data_dir)
            self._start_broker(self._data_dir)
            self._start_clickhouse(self._data_dir)
            self._prepare()
            self._start_workers(self._data_dir)
            state = self._write_state()
        except KeyboardInterrupt:
            self.kill()
            raise
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()
        return state

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the run; return whether it has ended.

        Raises:
            EmbeddedError: it ended by a failure.
        """
        has_ended = self._ended.wait(timeout_s)
        if has_ended and self._failure is not None:
            raise self._failure
        return has_ended

    def stop(self) -> None:
        """End everything in order: workers, broker, ClickHouse. Again, or after an end: nothing happens."""
        self._is_stopping = True
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        self._end_all()

    def kill(self) -> None:
        """End everything at once by SIGKILL; workers lose what they have not stored, and read it again later."""
        self._is_stopping = True
        for process in self._processes():
            process.kill()
        self.stop()

    def run(self, on_ready: Callable[[RunState], None] = lambda _: None) -> int:
        """Start, wait for Ctrl-C, SIGTERM or SIGHUP, end in order; a second signal ends at once.

        For the main thread of a command.

        Args:
            on_ready: called once when everything is ready.

        Returns:
            The exit code: 0 after an end in order, 130 after a second signal.

        Raises:
            EmbeddedError: the run failed; all processes are ended.
        """
        with EndingSignals() as self._signals:
            try:
                on_ready(self.start())
                while not self._signals.received and not self._ended.wait(_LOOK_S):
                    pass
                self.stop()
            except StoppedWhileStartingError:
                return 0
            except KeyboardInterrupt:
                self.kill()
                return _EXIT_INTERRUPTED
        self.wait()
        return 0

    @property
    def state(self) -> RunState:
        """Addresses and processes now; the run must have started."""
        assert self._data_dir is not None
        assert self._addresses is not None
        assert self._broker is not None
        assert self._clickhouse is not None
        return RunState(
            kafka_bootstrap_servers=self._addresses.kafka_bootstrap_servers,
            clickhouse_url=self._addresses.clickhouse_url,
            data_dir=str(self._data_dir.root),
            pid=os.getpid(),
            started_at=utc_text(self._started_at),
            broker=describe(self._broker),
            clickhouse=self._clickhouse.describe(),
            workers=tuple(worker.describe() for worker in self._workers if worker.state != "stopped"),
        )

    def stop_worker(self, name: str) -> None:
        """End one worker for good, in order; it is not started again.

        Raises:
            KeyError: no worker of this name runs.
        """
        with self._lock:
            worker = {worker.name: worker for worker in self._workers if worker.state != "stopped"}[name]
            worker.mark_stopped()
            self._write_state()
        end_together([worker.process], report=self._report)

    # The start, in order

    def _start_broker(self, data_dir: DataDir) -> None:
        begin = self._begin("broker")
        self._broker, port = start_broker(
            port=self._options.kafka_port,
            log_file=data_dir.log("broker"),
            on_created=self._starting.append,
            is_cancelled=self._is_cancelled,
        )
        self._addresses = Addresses(f"{LOOPBACK}:{port}", "")
        self._report(Progress("broker", "ready", time.monotonic() - begin))

    def _start_clickhouse(self, data_dir: DataDir) -> None:
        assert self._addresses is not None
        begin = self._begin("clickhouse")
        process, port = start_listening(
            lambda chosen: services.clickhouse_spec(
                self._options.clickhouse_command(data_dir.clickhouse, chosen),
                port=chosen,
                log_file=data_dir.log("clickhouse"),
            ),
            port=self._options.clickhouse_port,
            purpose="ClickHouse",
            option="--clickhouse-port",
            on_created=self._starting.append,
            is_cancelled=self._is_cancelled,
        )
        self._clickhouse = Slot(
            lambda: ManagedProcess(process.spec), policy=self._options.restarts, report=self._report
        )
        self._clickhouse.adopt(process)
        self._addresses = self._addresses._replace(clickhouse_url=services.clickhouse_url(port))
        self._report(Progress("clickhouse", "ready", time.monotonic() - begin))

    def _prepare(self) -> None:
        assert self._addresses is not None
        begin = self._begin("prepare")
        self._options.prepare(self._addresses)
        self._report(Progress("prepare", "ready", time.monotonic() - begin))

    def _start_workers(self, data_dir: DataDir) -> None:
        self._require_not_cancelled()
        for number in range(1, self._options.workers + 1):
            worker = self._worker_slot(number, data_dir)
            self._workers.append(worker)
            worker.start(time.monotonic())
        for worker in self._workers:
            worker.wait_ready(is_cancelled=self._is_cancelled)

    def _worker_slot(self, number: int, data_dir: DataDir) -> Slot:
        assert self._addresses is not None
        name = f"worker-{number}"
        options = self._options
        environment = services.worker_environment(
            self._addresses, {**options.environment, **options.environment_of_worker(number)}
        )

        def make() -> ManagedProcess:
            return ManagedProcess(
                services.worker_spec(
                    name,
                    options.worker_command,
                    environment=environment,
                    log_file=data_dir.log(name),
                    health_check=options.worker_health(name),
                    stop_grace_s=options.worker_stop_grace_s,
                )
            )

        return Slot(make, policy=options.restarts, report=self._report)

    # While it runs

    def _watch(self) -> None:
        memory = BrokerMemory(self._options.broker_memory_limit_bytes or default_limit_bytes())
        next_seldom_s = 0.0
        try:
            while not self._is_stopping:
                now_s = time.monotonic()
                with self._disk_trouble_is_told():
                    self._look(now_s)
                    if now_s >= next_seldom_s:
                        next_seldom_s = now_s + _SELDOM_S
                        self._look_at_sizes(memory)
                time.sleep(_LOOK_S)
        except EmbeddedError as error:
            self._failure = error
            self._report(Progress("run", "failed", detail=str(error)))
            self._is_stopping = True
            self._end_all()

    @contextlib.contextmanager
    def _disk_trouble_is_told(self) -> Iterator[None]:
        """On a full disk workers die and are to be started again, though neither can be written down."""
        try:
            yield
        except OSError as error:
            text = f"the files of the run cannot be written: {error.strerror}"
            if text != self._disk_trouble:
                self._report(Progress("run", "warning", detail=text))
            self._disk_trouble = text
        else:
            self._disk_trouble = ""

    def _look(self, now_s: float) -> None:
        assert self._broker is not None
        assert self._clickhouse is not None
        if not self._broker.is_running:
            raise self._broker.failure(_BROKER_LOSS)
        with self._lock:
            changed = [slot.look(now_s) for slot in [self._clickhouse, *self._workers]]
            self._is_state_old = self._is_state_old or any(changed)
            if self._is_state_old:
                self._write_state()

    def _look_at_sizes(self, memory: BrokerMemory) -> None:
        assert self._broker is not None
        for process in self._processes():
            log_files.cap(process.spec.log_file)
        held = resident_bytes(self._broker.pid)
        warning = memory.look(held) if held is not None else None
        if warning is not None:
            self._report(Progress("broker", "warning", detail=warning))

    # The end, in order

    def _end_all(self) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            end_together([worker.process for worker in self._workers], report=self._report)
            # The broker, ClickHouse, and what an interrupted start left behind, one after the other.
            for process in self._processes():
                end_together([process], report=self._report)
            if self._data_dir is not None:
                self._data_dir.release()
            self._ended.set()

    def _processes(self) -> list[ManagedProcess]:
        """All processes that may run, in the order of their end."""
        found = [worker.process for worker in self._workers]
        found += [] if self._broker is None else [self._broker]
        found += [] if self._clickhouse is None else [self._clickhouse.process]
        return found + [process for process in self._starting if process not in found]

    # Small things

    def _is_cancelled(self) -> bool:
        return self._is_stopping or (self._signals is not None and self._signals.received > 0)

    def _require_not_cancelled(self) -> None:
        if self._is_cancelled():
            raise StoppedWhileStartingError("the start was interrupted")

    def _write_state(self) -> RunState:
        with self._lock:
            assert self._data_dir is not None
            state = self.state
            self._data_dir.write_run(state)
            self._is_state_old = False
            return state

    def _begin(self, stage: str) -> float:
        self._require_not_cancelled()
        self._report(Progress(stage, "starting"))
        return time.monotonic()

    def _report(self, progress: Progress) -> None:
        with self._progress_lock:
            self._on_progress(progress)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
