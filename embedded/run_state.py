"""What a one-machine run consists of: its addresses and its processes, as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from tokentide.embedded.process import ManagedProcess


class Addresses(NamedTuple):
    """Where the engines of a run are."""

    kafka_bootstrap_servers: str
    clickhouse_url: str
    """`http://user[:password]@host:port/tokentide`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """One process of the run."""

    name: str
    pid: int
    started_at: str
    """UTC, ISO 8601."""
    log: str
    """Path of its log."""
    restarts: int = 0
    """How often it was started again since the run began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Addresses and processes of a run. `clickhouse_url` may hold a password."""

    kafka_bootstrap_servers: str
    clickhouse_url: str
    data_dir: str
    pid: int
    """Of the process that started the others and looks after them."""
    started_at: str
    """UTC, ISO 8601."""
    broker: ProcessState
    clickhouse: ProcessState
    workers: tuple[ProcessState, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return asdict(self)

    @property
    def addresses(self) -> Addresses:
        """Where the engines are."""
        return Addresses(self.kafka_bootstrap_servers, self.clickhouse_url)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` has written.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(
            **{
                **values,
                "broker": ProcessState(**values["broker"]),
                "clickhouse": ProcessState(**values["clickhouse"]),
                "workers": tuple(ProcessState(**worker) for worker in values["workers"]),
            }
        )


def describe(process: ManagedProcess, *, restarts: int = 0) -> ProcessState:
    """Return what a run tells of a process that was started."""
    return ProcessState(
        name=process.spec.name,
        pid=process.pid,
        started_at=utc_text(process.started_at or 0.0),
        log=str(process.spec.log_file),
        restarts=restarts,
    )


def utc_text(unix_s: float) -> str:
    """Write a time as UTC, ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(unix_s, tz=UTC).isoformat(timespec="milliseconds")
