"""Broker, ClickHouse and workers on this machine: what `up` and `demo` share.

Settings of the user's own Kafka and ClickHouse (addresses, logins, certificates) do not fit the engines started
here; the groups `kafka` and `clickhouse` are left out. All other settings hold, and workers get them
through their environment, whichever source they came from. Only ports for metrics differ: the first worker has the one of
the setting, the next ones those after it. A key for hashes of prompts is made where there is none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokentide.cli.arguments import load_from
from tokentide.cli.content_key import content_key_in
from tokentide.cli.exits import NotReadyError, UnreachableError, UsageError
from tokentide.cli.log_ends import with_readable_log
from tokentide.cli.terminal import Tone, say, toned
from tokentide.config import Settings, SettingsError, as_environment, load_settings
from tokentide.errors import SettingProblem

if TYPE_CHECKING:
    from tokentide.embedded.process import HealthCheck
    from tokentide.embedded.progress import Progress
    from tokentide.embedded.run_options import SupervisorOptions
    from tokentide.embedded.run_state import Addresses, RunState

ENGINES: Final = ("kafka", "clickhouse")
DEFAULT_DATA_DIR: Final = Path("tokentide-data")
_SESSION: Final = {"worker.session_timeout_seconds", "worker.heartbeat_seconds"}
HERE: Final = {
    "TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS": "6",
    "TOKENTIDE_WORKER_HEARTBEAT_SECONDS": "2",
}
"""The embedded broker holds every joining of the group for the session's time-out: a short one starts sooner. There is
no network here that could be silent for longer."""
_METRICS_PORT: Final = "TOKENTIDE_METRICS_PORT"
_CONTENT_KEY: Final = "TOKENTIDE_CONTENT_HASH_KEY"
_LAST_PORT: Final = 65_535
WORKER_STARTED: Final = b"worker started"
"""What a worker writes to its log when it serves (`tokentide.stream.worker`)."""
WORKER_COMMAND: Final = (sys.executable, "-m", "tokentide.cli.main", "worker")


def settings_for_engines_here(args: argparse.Namespace, *, workers: int) -> tuple[Settings, dict[str, str]]:
    """The settings without those of other engines, and the environment that gives a worker the same ones.

    Topics get at least one partition for each worker.

    Raises:
        SettingsError: with every problem found.
        UsageError: an address was given: this command brings its own.
    """
    for assignment in args.assignments:
        if assignment.partition(".")[0] in ENGINES:
            raise UsageError(
                f"--set {assignment.partition('=')[0]}: this command brings its own Kafka and ClickHouse"
            )
    loaded = load_from(args, without=ENGINES)
    settings = loaded.settings
    given = {name for name, origin in loaded.origins.items() if origin.kind != "default"}
    if settings.topics.partitions < workers:
        if "topics.partitions" in given:
            raise SettingsError(
                [
                    SettingProblem(
                        loaded.origins["topics.partitions"].where,
                        f"{settings.topics.partitions} partitions cannot be shared by {workers} workers",
                    )
                ]
            )
        settings = _with_partitions(settings, workers)
        given.add("topics.partitions")
    # An empty file in place of the user's: what counts of it is in the environment already.
    return settings, {
        **({} if given & _SESSION else HERE),
        **as_environment(settings, given),
        "TOKENTIDE_CONFIG": os.devnull,
    }


def _with_partitions(settings: Settings, partitions: int) -> Settings:
    topics = settings.topics.model_copy(update={"partitions": partitions})
    return settings.model_copy(update={"topics": topics})


def at_addresses(settings: Settings, addresses: Addresses) -> Settings:
    """The settings with the addresses of the engines that were started."""
    here = load_settings(
        environ={
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
            "TOKENTIDE_CLICKHOUSE_URL": addresses.clickhouse_url,
        },
        config_file=Path(os.devnull),
    )
    return settings.model_copy(update={"kafka": here.kafka, "clickhouse": here.clickhouse})


def supervisor_options(
    settings: Settings,
    environment: dict[str, str],
    *,
    data_dir: Path,
    workers: int,
    kafka_port: int,
    clickhouse_port: int,
) -> SupervisorOptions:
    """What to run; topics and tables are made before the first worker starts."""
    from tokentide.embedded.run_options import SupervisorOptions  # noqa: PLC0415 - not needed for the help

    ports = metrics_ports(settings, workers=workers, others=(kafka_port, clickhouse_port))

    def prepare(addresses: Addresses) -> None:
        from tokentide.cli.commands.init import initialise  # noqa: PLC0415 - not needed for the help

        _require_free(settings.metrics.host, ports)
        initialise(at_addresses(settings, addresses), tell=lambda _: None)

    return SupervisorOptions(
        data_dir=data_dir,
        worker_command=WORKER_COMMAND,
        workers=workers,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        environment=environment,
        environment_of_worker=lambda number: {
            **({_METRICS_PORT: str(ports[number - 1])} if number <= len(ports) else {}),
            **_content_key(settings, data_dir),
        },
        prepare=prepare,
        worker_health=lambda name: worker_has_started(
            data_dir.expanduser().absolute() / "logs" / f"{name}.log"
        ),
    )


def _content_key(settings: Settings, data_dir: Path) -> dict[str, str]:
    if settings.content.policy == "none" or settings.content.hash_key is not None:
        return {}
    return {_CONTENT_KEY: content_key_in(data_dir.expanduser().absolute())}


def metrics_ports(settings: Settings, *, workers: int, others: Collection[int] = ()) -> range:
    """The ports of the workers' metrics, one after the other; none where each may take any free one, or there are none.

    Raises:
        UsageError: they are not all ports, or one of `others`, on which the engines listen.
    """
    first = settings.metrics.port
    if not first:
        return range(0)
    ports = range(first, first + workers)
    said = f"metrics.port {first} and {workers} workers: they listen on ports {first} to {ports.stop - 1}"
    if ports.stop - 1 > _LAST_PORT:
        raise UsageError(
            f"{said}, but ports end at {_LAST_PORT}", hint="a lower metrics.port, or 0 for any free ones"
        )
    for port in others:
        if port in ports:
            raise UsageError(
                f"{said}, but {port} is that of Kafka or ClickHouse", hint="another metrics.port"
            )
    return ports


def _require_free(host: str, ports: Iterable[int]) -> None:
    """Say here what each worker would say in its log.

    Raises:
        NotReadyError: another program listens on one of the ports.
    """
    from tokentide.embedded.ports import LOOPBACK, is_free_port  # noqa: PLC0415 - not needed for the help

    if host not in (LOOPBACK, "localhost", "0.0.0.0"):  # noqa: S104 - nothing is bound here
        return
    for number, port in enumerate(ports, 1):
        if not is_free_port(port):
            raise NotReadyError(
                f"the metrics of worker-{number} cannot be served on port {port}: another program listens there",
                hint="choose another metrics.port, or 0 for any free ones",
            )


def worker_has_started(log_file: Path) -> HealthCheck:
    """A health check that passes when the worker has said so in its log, after what is in it already."""
    begin = _size(log_file)

    def check() -> str | None:
        try:
            with log_file.open("rb") as log:
                # A log that was cut meanwhile is shorter than it was.
                log.seek(begin if _size(log_file) >= begin else 0)
                return None if WORKER_STARTED in log.read() else "it has not said that it started"
        except OSError:
            return "it has not written anything"

    return check


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the errors of the engines into ours."""
    from tokentide.embedded import errors  # noqa: PLC0415 - not needed for the help

    try:
        yield
    except (errors.NotInstalledError, errors.PortUnavailableError, errors.DataDirError) as error:
        raise NotReadyError(str(error)) from error
    except errors.EmbeddedError as error:
        raise UnreachableError(with_readable_log(str(error))) from error


_STAGES: Final = {
    "broker": "Kafka broker",
    "clickhouse": "ClickHouse",
    "prepare": "topics and tables",
}


def progress_line(progress: Progress) -> str | None:
    """One line for a human; None where there is nothing to say."""
    name = _STAGES.get(progress.stage, progress.stage)
    match progress.event:
        case "ready":
            return f"  {_mark('✓', 'green')} {name} ready ({progress.seconds:.1f} s)"
        case "restarting":
            return f"  {_mark('!', 'yellow')} {with_readable_log(progress.detail)}\n    {name} is started again in {progress.seconds:.1f} s"
        case "warning":
            return f"  {_mark('!', 'yellow')} {with_readable_log(progress.detail)}"
        case "stopped":
            note = f"; {progress.detail}" if progress.detail else ""
            return f"  {name} stopped ({progress.seconds:.1f} s{note})"
        case _:
            return None  # its start is seen when it is ready, its failure ends the command with a message


def _mark(text: str, tone: Tone) -> str:
    return toned(text, tone, sys.stderr)


def say_progress(progress: Progress) -> None:
    """Write the line to standard error."""
    line = progress_line(progress)
    if line is not None:
        say(line)


def exports(state: RunState) -> list[str]:
    """What another terminal needs, as shell lines; empty where the defaults lead here."""
    defaults = {"127.0.0.1:9092": "", "http://default@127.0.0.1:8123/tokentide": ""}
    pairs = (
        ("TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS", state.kafka_bootstrap_servers),
        ("TOKENTIDE_CLICKHOUSE_URL", state.clickhouse_url),
    )
    return [f"export {name}={value}" for name, value in pairs if value not in defaults]
