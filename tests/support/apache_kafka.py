"""A real Apache Kafka, one node, for tests and benchmarks.

The jars come from Maven once (about 43 MB, into `.cache/kafka-libs` of the checkout) by the pinned versions of
`kafka/pom.xml`. The broker runs as a child process that never outlives this one, on free ports of the loopback
interface, with its data where the caller says. Needs Java 17 and, for the first time, Maven.

As a program it runs one broker until Ctrl-C and prints its address:

    python -m tests.support.apache_kafka --data-dir DIR [--port N] [--property KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.ports import unused_port
from tests.support.waiting import HANGING_S, wait_until_stopped
from tokentide.embedded.kafka_probe import kafka_health
from tokentide.embedded.ports import LOOPBACK
from tokentide.embedded.process import ManagedProcess, ProcessSpec

REQUIRE_VARIABLE: Final = "TOKENTIDE_REQUIRE_APACHE_KAFKA"
"""Set to 1 where the suite may not be skipped: what is missing is then a failure."""

_HERE: Final = Path(__file__).resolve().parent
_POM: Final = _HERE / "kafka" / "pom.xml"
_LOG_CONFIG: Final = _HERE / "kafka" / "log4j2.properties"
_CACHE: Final = _HERE.parent.parent / ".cache" / "kafka-libs"
_JAVA_RELEASE: Final = 17
_NODE_ID: Final = 1

_PROPERTIES: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": str(_NODE_ID),
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # One node cannot hold the three copies that these ask for by default.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fifty partitions of offsets and of transactions would only cost time at the first use.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    # Every first join would wait three seconds for others.
    "group.initial.rebalance.delay.ms": "0",
    # Tests of lost workers shall not wait the 6 s that are the least by default.
    "group.min.session.timeout.ms": "1000",
    # After SIGKILL the controller takes the old broker for alive so long (9 s by default), and keeps the new one out.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
}


_SHORT_LIVED: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""No second compiler, and one thread for garbage."""
_CHECKPOINT: Final = "bootstrap.checkpoint"


class ApacheKafkaMissingError(RuntimeError):
    """A real Apache Kafka cannot run here; the text says what is missing."""


def libraries() -> Path:
    """Return the folder of the broker's jars, after fetching them the first time.

    Several processes may ask at once: one fetches, the others wait for it.

    Raises:
        ApacheKafkaMissingError: they are not there and cannot be fetched.
    """
    folder = _CACHE / _pinned()
    if folder.is_dir():
        return folder
    _CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(_CACHE / "lock"):
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _pinned() -> str:
    """What tells these versions from others."""
    return hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ApacheKafkaMissingError("Maven (mvn) is not installed; it fetches Kafka's jars")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch:
        # The pom is copied, since Maven puts a target folder beside it.
        pom = shutil.copy(_POM, scratch)
        target = Path(scratch) / "libs"
        answer = subprocess.run(
            [maven, "-q", "-B", "-f", pom, "dependency:copy-dependencies",
             f"-DoutputDirectory={target}", "-DincludeScope=runtime"],
            capture_output=True, text=True, timeout=3 * HANGING_S, check=False,
        )  # fmt: skip
        if answer.returncode != 0 or not any(target.glob("kafka_*.jar")):
            last_lines = "\n".join((answer.stdout + answer.stderr).strip().splitlines()[-10:])
            raise ApacheKafkaMissingError(f"Maven could not fetch Kafka's jars:\n{last_lines}")
        target.rename(folder)  # whole or not at all


def java() -> str:
    """Return the path of a Java runtime that is new enough.

    Raises:
        ApacheKafkaMissingError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    return _java_in(f"{home}/bin" if home else os.environ.get("PATH", ""))


@functools.cache
def _java_in(path: str) -> str:
    found = shutil.which("java", path=path)
    if found is None:
        raise ApacheKafkaMissingError(
            "Java is not installed (java is not on the PATH); Kafka needs 17 or newer"
        )
    said = subprocess.run(
        [found, "-version"], capture_output=True, text=True, timeout=HANGING_S, check=False
    ).stderr
    release = said.partition('"')[2].partition(".")[0].partition('"')[0]
    if not release.isdigit() or int(release) < _JAVA_RELEASE:
        raise ApacheKafkaMissingError(
            f"Java {release or 'of unknown release'} is too old; Kafka needs 17 or newer"
        )
    return found


class ApacheKafka:
    """One broker that is controller too. Data and ports stay the same over restarts."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        advertised_port: int | None = None,
        properties: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        is_short_lived: bool = True,
    ) -> None:
        """Prepare a broker.

        Args:
            data_dir: for its data, configuration and log; must not hold another broker's.
            port: for clients; 0: any free one.
            advertised_port: what clients are told to use, when they shall come through a proxy.
            properties: server properties beside, or instead of, those of this module.
            heap_mb: the JVM's heap.
            is_short_lived: start with half of the CPU time, and be slower afterwards.
        """
        self._data_dir = data_dir.resolve()
        self._port = port or unused_port()
        self._advertised_port = advertised_port or self._port
        self._controller_port = unused_port()
        self._more_properties = dict(properties or {})
        self._heap_mb = heap_mb
        self._is_short_lived = is_short_lived
        self._cluster_id = _random_id()
        self._process: ManagedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients; the proxy's, if there is one."""
        return f"{LOOPBACK}:{self._advertised_port}"

    @property
    def port(self) -> int:
        """The port that the broker itself listens on."""
        return self._port

    @property
    def process(self) -> ManagedProcess:
        """The broker's process; it must have been started."""
        assert self._process is not None, "the broker was not started"
        return self._process

    @property
    def log_file(self) -> Path:
        """The broker's output: warnings and errors."""
        return self._data_dir / "kafka.log"

    def start(self) -> Self:
        """Format the data folder the first time, start the broker, wait until it serves.

        Raises:
            ApacheKafkaMissingError: Java, Maven or the jars are missing.
            EmbeddedError: it does not come up; the message has the end of its log.
        """
        properties = self._write_properties()
        if not (self._data_dir / "log" / "meta.properties").exists():
            self._format(properties)
        self._process = ManagedProcess(
            ProcessSpec(
                name="apache-kafka",
                argv=self._command("kafka.Kafka", str(properties), heap_mb=self._heap_mb),
                log_file=self.log_file,
                health_check=lambda: kafka_health(LOOPBACK, self._port, cluster_id=self._cluster_id),
                start_timeout_s=HANGING_S,
                stop_grace_s=HANGING_S,
            )
        )
        self._process.start()
        self._process.wait_ready()
        return self

    def stop(self) -> None:
        """End it in order: it hands over, writes what it holds, and ends."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()

    def pause(self) -> None:
        """Stop it from doing anything (SIGSTOP); its connections stay open and silent."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until_stopped(self.process.pid)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """End it in order and start it again, with the same data and address."""
        self.stop()
        self.start()

    def _write_properties(self) -> Path:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        client, controller = f"{LOOPBACK}:{self._port}", f"{LOOPBACK}:{self._controller_port}"
        lines = {
            **_PROPERTIES,
            "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self._advertised_port}",
            "controller.quorum.voters": f"{_NODE_ID}@{controller}",
            "log.dirs": str(self._data_dir / "log"),
            **self._more_properties,
        }
        path = self._data_dir / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
        return path

    def _format(self, properties: Path) -> None:
        """Make the data folder; what Kafka's tool writes into it, its ids aside, is kept and copied the next time."""
        log, kept = self._data_dir / "log", _CACHE / f"{_pinned()}.checkpoint"
        if not kept.exists():
            self._format_by_tool(properties)
            copy = kept.with_suffix(f".{os.getpid()}")
            shutil.copy(log / _CHECKPOINT, copy)
            copy.replace(kept)
            return
        log.mkdir()
        shutil.copy(kept, log / _CHECKPOINT)
        ids = {
            "cluster.id": self._cluster_id,
            "directory.id": _random_id(),
            "node.id": _NODE_ID,
            "version": 1,
        }
        lines = "".join(f"{name}={value}\n" for name, value in ids.items())
        (log / "meta.properties").write_text(lines, encoding="utf-8")

    def _format_by_tool(self, properties: Path) -> None:
        command = self._command(
            "kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(properties)
        )
        answer = subprocess.run(command, capture_output=True, text=True, timeout=HANGING_S, check=False)
        if answer.returncode != 0:
            raise RuntimeError(f"Kafka's data folder could not be formatted:\n{answer.stdout}{answer.stderr}")

    def _command(self, main_class: str, *arguments: str, heap_mb: int = 256) -> list[str]:
        return [
            java(),
            f"-Xmx{heap_mb}m",
            *(_SHORT_LIVED if self._is_short_lived else ()),
            "-XX:+ExitOnOutOfMemoryError",
            f"-Dlog4j2.configurationFile={_LOG_CONFIG}",
            "-cp",
            f"{libraries()}/*",
            main_class,
            *arguments,
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _random_id() -> str:
    """16 random bytes in URL-safe base64 without padding: the form that Kafka demands.

    A leading hyphen would read as an option.
    """
    return "t" + base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()[1:]


def why_missing() -> str | None:
    """Return why no Apache Kafka can run here; None when it can. Fetches its jars if need be."""
    try:
        java()
        libraries()
    except (ApacheKafkaMissingError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def main() -> int:
    """Run one broker until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Run one Apache Kafka broker until Ctrl-C.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--property", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    properties = dict(given.split("=", 1) for given in options.property)
    # Not the present handler of SIGINT: a shell that starts programs in the background lets them ignore it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ApacheKafka(
        options.data_dir, port=options.port, properties=properties, is_short_lived=False
    ) as kafka:
        sys.stdout.write(kafka.bootstrap_servers + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while kafka.process.is_running:
                time.sleep(0.2)
            sys.stderr.write(f"{kafka.process.failure()}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
