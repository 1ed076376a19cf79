"""Starts a server process on a port of the loopback interface: the wanted one, or any free one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tokentide.embedded.errors import PortUnavailableError, ProcessFailedError
from tokentide.embedded.ports import free_port, is_free_port, require_free_port
from tokentide.embedded.process import ManagedProcess, ProcessSpec, never

_ATTEMPTS: Final = 5
"""For chosen ports: others may take one in the milliseconds between the choice and the start."""


def start_listening(
    make_spec: Callable[[int], ProcessSpec],
    *,
    port: int,
    purpose: str,
    option: str,
    on_created: Callable[[ManagedProcess], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = never,
) -> tuple[ManagedProcess, int]:
    """Start a server and wait until it is ready.

    Args:
        make_spec: describes the process for a port.
        port: where it listens; 0: any free port.
        purpose: who wants the port, for messages: `the Kafka broker`.
        option: what a user writes to choose another: `--kafka-port`.
        on_created: called with each process before its start, so that it can be ended meanwhile.
        is_cancelled: asked while waiting.

    Returns:
        The process, and the port it listens on.

    Raises:
        PortUnavailableError: the port is taken.
        ProcessFailedError, ProcessNotReadyError: it did not come up; the message has the end of its log.
        StoppedWhileStartingError: it was cancelled; the process goes on.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        chosen = port or free_port()
        require_free_port(chosen, purpose=purpose, option=option)
        process = ManagedProcess(make_spec(chosen))
        on_created(process)
        process.start()
        try:
            process.wait_ready(is_cancelled=is_cancelled)
        except ProcessFailedError as error:
            if is_free_port(chosen):
                raise  # it has another trouble
            if port or attempt == _ATTEMPTS:
                raise PortUnavailableError(
                    f"{purpose} could not listen on port {chosen}: another program took it meanwhile. "
                    f"Choose another one with {option} N",
                    port=chosen,
                ) from error
        else:
            return process, chosen
    raise AssertionError("the last attempt returns or raises")
