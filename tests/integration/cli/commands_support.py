"""Running commands as a user does: in processes of their own, with nothing of the tester's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import children
from tests.support.waiting import HANGING_S

Begin = Callable[..., subprocess.Popen[str]]
"""Starts a command that goes on."""
COMMAND = (sys.executable, "-m", "tokentide.cli.main")


def clean_environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TOKENTIDE_")}


def tokentide(
    *arguments: str | Path,
    environ: dict[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = HANGING_S,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        children.bound([*COMMAND, *map(str, arguments)]),
        input=stdin,
        env={**clean_environment(), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(*arguments: str | Path, log: Path) -> subprocess.Popen[str]:
    """Start a command that goes on; what it says for humans goes to a log."""
    with log.open("w") as stream:
        return children.start(
            [*COMMAND, *map(str, arguments)],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@dataclass
class Machine:
    """A running `tokentide up`."""

    state: dict[str, Any]
    log: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": self.state["kafka_bootstrap_servers"],
            "TOKENTIDE_CLICKHOUSE_URL": self.state["clickhouse_url"],
        }

    def __call__(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        return tokentide(*arguments, environ=self.environ, stdin=stdin)

    def query(self, sql: str, **parameters: str) -> list[list[str]]:
        """Rows as text."""
        options = [option for name, value in parameters.items() for option in ("--param", f"{name}={value}")]
        done = self("query", sql, *options)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def wait(self) -> None:
        """Until everything is stored."""
        done = self("wait", "--timeout", str(HANGING_S))
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text(encoding="utf-8")
