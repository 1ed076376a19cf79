"""Ports of the loopback interface: find a free one, or say clearly that the wanted one is taken."""

from __future__ import annotations

import errno
import socket
from typing import Final

from tokentide.embedded.errors import PortUnavailableError

LOOPBACK: Final = "127.0.0.1"
"""Engines listen here and nowhere else: they know no users."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now.

    Another program may take it before it is used; callers that chose the port this way try again with another.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, *, purpose: str, option: str) -> None:
    """Check that a port can be listened on.

    Args:
        port: the wanted port.
        purpose: who wants it, for the message: `the Kafka broker`.
        option: what a user writes to choose another: `--kafka-port`.

    Raises:
        PortUnavailableError: it is taken, or the system refuses it.
    """
    reason = _why_not(port)
    if reason is not None:
        raise PortUnavailableError(
            f"{purpose} cannot listen on {LOOPBACK}:{port}: {reason}. "
            f"Choose another port with {option} N ({option} 0 takes any free one), or end the program that uses it",
            port=port,
        )


def is_free_port(port: int) -> bool:
    """Whether a port of the loopback interface can be listened on now."""
    return _why_not(port) is None


def _why_not(port: int) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it a port whose last connections linger in TIME_WAIT looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "another program listens there"
            if error.errno == errno.EACCES:
                return "ports below 1024 are reserved for the administrator"
            return error.strerror or type(error).__name__
        except OverflowError:
            return "ports end at 65535"
    # macOS lets a bind to one address pass while another program listens on all of them.
    return "another program listens there" if accepts_connections(port) else None


def accepts_connections(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether somebody accepts connections on this port of the loopback interface."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False
