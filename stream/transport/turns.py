"""The queue between the consumer and an agent, in which each partition gets its turn."""

from __future__ import annotations

from typing import Any

from mode.utils.queues import ThrowableQueue


class InTurns(ThrowableQueue[Any]):
    """Faust's queue, which lets go on with every value that is taken.

    What is put while the queue is empty has its partition fetched no further until the queue is empty again when the agent asks for
    more; what waits to be put does not. So under load the queue is never empty, and the partitions that came first would wait, for
    minutes and longer, while the others have all turns.
    """

    def get_nowait(self) -> Any:
        """Take the next value, and have all partitions fetched on that were held back for this queue."""
        value = super().get_nowait()
        waiting, self._pending_pressure_drop_callbacks = self._pending_pressure_drop_callbacks, set()
        for fetch_on in waiting:
            fetch_on()
        return value
