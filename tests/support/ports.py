"""Ports for servers of the tests, which stay theirs over a restart."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from tokentide.embedded.ports import is_free_port

_FIRST: Final = 12_000
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Not `random` itself: each process of the tests has it with the same seed.
_chance: Final = random.SystemRandom()


def unused_port() -> int:
    """Return a port of the loopback interface that nobody listens on, and that the system gives no client.

    One that the system would give away may be taken between the choice and the start, or while a server is down: by any
    connection of the machine, even by one to this very port.
    """
    first_given = int(_RANGE.read_text(encoding="ascii").split()[0]) if _RANGE.exists() else 32_768
    while not is_free_port(port := _chance.randrange(_FIRST, max(first_given, _FIRST + 1_000))):
        pass
    return port
