"""Watches the memory of the embedded broker, which keeps every record until it ends.

Apache Kafka deletes by age; this broker cannot (docs/decisions/0004-embedded-broker.md). So a run says in time that
it will not last, and ends in order before the machine has no memory left and kills at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tokentide.embedded.errors import BrokerMemoryError
from tokentide.embedded.memory import available_to_us_bytes

_MB: Final = 1_000_000
_WARN_AT: Final = (0.5, 0.8)
"""Shares of the limit at which a warning is given, each once."""

_LIMIT_SHARE: Final = 0.5
"""Of the machine's memory; ClickHouse may take the other half."""


def default_limit_bytes() -> int:
    """Return how much memory the broker may take unless told otherwise."""
    return int(_LIMIT_SHARE * available_to_us_bytes())


@dataclass(slots=True)
class BrokerMemory:
    """What has been said about the broker's memory so far."""

    limit_bytes: int
    _warnings_given: int = 0

    def look(self, resident_bytes: int) -> str | None:
        """Judge the broker's resident memory.

        Returns:
            A warning, the first time that a share of the limit is passed; else None.

        Raises:
            BrokerMemoryError: the limit is passed.
        """
        held_mb, limit_mb = resident_bytes // _MB, self.limit_bytes // _MB
        if resident_bytes > self.limit_bytes:
            raise BrokerMemoryError(
                f"the embedded broker holds {held_mb} MB, its limit is {limit_mb} MB. It keeps every record until it "
                "ends, so the run ends here. What the workers have stored in ClickHouse is safe. Start again with "
                "the same data directory, or use an Apache Kafka for runs of this size"
            )
        passed = sum(resident_bytes > share * self.limit_bytes for share in _WARN_AT)
        if passed <= self._warnings_given:
            return None
        self._warnings_given = passed
        return (
            f"the embedded broker holds {held_mb} of at most {limit_mb} MB and cannot forget records; "
            "past the limit the run ends. Use an Apache Kafka for long runs"
        )
