"""A plugin after which no test finds what another left in the process: logging, structlog, environment, folder, signals.

Tests run in any order, so what one changes for good is another's failure on some days. Warnings are restored by
pytest itself, the random generators by pytest-randomly.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1)
_Restore = Callable[[], None]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    """Around everything that belongs to a test, its fixtures too."""
    restores = [take() for take in (_logging, _structlog, _environment, _folder, _signals)]
    try:
        return (yield)
    finally:
        for restore in restores:
            restore()


def _loggers() -> list[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


def _logging() -> _Restore:
    def state(logger: logging.Logger) -> tuple[Any, ...]:
        return (
            logger.level,
            logger.propagate,
            logger.disabled,
            list(logger.handlers),
            list(logger.filters),
        )

    before = {logger: state(logger) for logger in _loggers()}
    disabled = logging.root.manager.disable

    def restore() -> None:
        logging.disable(disabled)
        for logger in _loggers():
            quiet = [handler for handler in logger.handlers if isinstance(handler, logging.NullHandler)]
            as_new = (logging.NOTSET, True, False, quiet, [])  # for one that the test has made
            if state(logger) == (wanted := before.get(logger, as_new)):
                continue
            level, logger.propagate, logger.disabled, logger.handlers[:], logger.filters[:] = wanted
            logger.setLevel(level)

    return restore


def _structlog() -> _Restore:
    is_configured, before = structlog.is_configured(), structlog.get_config()

    def restore() -> None:
        structlog.reset_defaults()
        if is_configured:
            structlog.configure(**before)

    return restore


def _environment() -> _Restore:
    before = dict(os.environ)

    def restore() -> None:
        # Not `clear`: other threads look, too.
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        time.tzset()

    return restore


def _folder() -> _Restore:
    before, temporary = Path.cwd(), tempfile.tempdir

    def restore() -> None:
        os.chdir(before)
        tempfile.tempdir = temporary

    return restore


def _signals() -> _Restore:
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore
