"""What a one-machine run consists of, as its caller chooses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokentide.embedded import services
from tokentide.embedded.process import HealthCheck
from tokentide.embedded.restarts import RestartPolicy
from tokentide.embedded.run_state import Addresses


def _nothing_to_prepare(_: Addresses) -> None:
    """The engines are used as they come."""


def _nothing_of_its_own(_: int) -> Mapping[str, str]:
    return {}


def _lives_for_a_moment(_: str) -> HealthCheck:
    return services.lives_for(0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorOptions:
    """What to run."""

    data_dir: Path
    worker_command: Sequence[str] = ()
    """Arguments of one worker; it takes its addresses from the environment."""
    workers: int = 1
    kafka_port: int = 0
    """0: any free port."""
    clickhouse_port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables for the workers."""
    environment_of_worker: Callable[[int], Mapping[str, str]] = _nothing_of_its_own
    """Variables of one worker, by its number from 1; they go before those of all. Such as a port that it listens on."""
    prepare: Callable[[Addresses], None] = _nothing_to_prepare
    """Called when the engines answer and before any worker starts: create topics, run migrations."""
    worker_health: Callable[[str], HealthCheck] = _lives_for_a_moment
    """Makes the health check of a worker from its name, for each start anew."""
    worker_stop_grace_s: float = 30.0
    """Time for a worker to store what it holds; then it is killed and reads it again at the next start."""
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    """Of each worker, and of ClickHouse."""
    broker_memory_limit_bytes: int | None = None
    """None: half of the machine's memory."""
    clickhouse_command: Callable[[Path, int], Sequence[str]] = services.clickhouse_command
    """Makes the arguments of ClickHouse from its data directory and port."""

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be 0 or more")
        if self.workers and not self.worker_command:
            raise ValueError("worker_command is empty, but workers are wanted")
