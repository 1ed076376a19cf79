"""What all tests rest on: nothing of theirs outlives them, neither in the process nor beside it."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from tests.support import children, isolation
from tests.support.waiting import until
from tokentide.config.settings import LogSettings
from tokentide.stream.logs import configure_logs

PARENT = """
import sys
from tests.support import children
child = children.start([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"])
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_child_ends_with_the_tests_that_are_killed(repository: Path) -> None:
    with children.start(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository,
    ) as parent:
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")


def test_logging_is_as_before() -> None:
    named, other = logging.getLogger("tokentide"), logging.getLogger("made.by.a.test")
    before = (logging.root.level, list(logging.root.handlers), named.level, structlog.get_config())
    restores = [isolation._logging(), isolation._structlog()]
    configure_logs(LogSettings(format="json", level="debug"))
    named.addHandler(logging.StreamHandler(io.StringIO()))
    other.disabled, other.propagate = True, False
    logging.disable(logging.CRITICAL)
    for restore in restores:
        restore()
    assert (logging.root.level, list(logging.root.handlers), named.level, structlog.get_config()) == before
    assert (named.handlers, other.disabled, other.propagate) == ([], False, True)
    assert named.isEnabledFor(logging.WARNING)


def test_environment_folder_and_signals_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENTIDE_TEST_A", "a")
    before = (dict(os.environ), Path.cwd(), signal.getsignal(signal.SIGTERM))
    restores = [isolation._environment(), isolation._folder(), isolation._signals()]
    monkeypatch.delenv("TOKENTIDE_TEST_A")
    monkeypatch.setenv("TOKENTIDE_TEST_B", "b")
    monkeypatch.chdir(tmp_path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for restore in restores:
        restore()
    assert (dict(os.environ), Path.cwd(), signal.getsignal(signal.SIGTERM)) == before
