"""Wires the detect stage to Kafka, ClickHouse and the worker's consumer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from faust.types import TP

from tokentide.config import Settings
from tokentide.stream.anomaly_outlets import AnomalyOutlets
from tokentide.stream.core_thread import Serial
from tokentide.stream.counts import FailedTries
from tokentide.stream.detection import LOOK_BACK_HOURS, Detection, Outside
from tokentide.stream.transport.fetched import Place
from tokentide.stream.transport.micro_batch import LogBounds, MicroBatchConsumer


class DetectStage:
    """The detect stage and its connections."""

    def __init__(
        self,
        settings: Settings,
        consumer: Callable[[], MicroBatchConsumer],
        commit: Callable[[Mapping[Place, int]], Awaitable[bool]],
        should_stop: Callable[[], bool],
        tries: FailedTries,
        *,
        work: Serial,
    ) -> None:
        """Wire the stage; connects when something is to be read or said. `work` does what takes the processor."""
        self._consumer = consumer
        self._outlets = AnomalyOutlets(settings, should_stop, tries)
        outside = Outside(self._outlets.topic, self._outlets.table, self._log_end, self._hold, commit)
        self.detection = Detection(outside, groups=2 * settings.windows.series_cap, work=work)

    async def plan_start(self, bounds: Mapping[TP, LogBounds], generation: int) -> Mapping[TP, int]:
        """Where to begin reading the assigned partitions of the windows topic."""
        since_ms = round((time.time() - 3_600 * LOOK_BACK_HOURS) * 1_000)
        look_back = await self._consumer().offsets_since(since_ms, bounds) if bounds else {}
        begins = self.detection.begin(
            {_place(tp): found for tp, found in bounds.items()},
            {_place(tp): offset for tp, offset in look_back.items()},
            generation,
        )
        return {TP(*place): begin for place, begin in begins.items()}

    async def close(self, *, patience_s: float, say_rest: bool) -> None:
        """Close the connections, and before that say what is left to say."""
        try:
            if say_rest:
                await asyncio.wait_for(self.detection.finish(), patience_s)
        finally:
            await self._outlets.close()

    def _log_end(self, place: Place) -> int | None:
        return self._consumer().log_end(TP(*place))

    def _hold(self, place: Place, hold: bool) -> None:  # noqa: FBT001 - the two sides of one switch
        consumer = self._consumer()
        (consumer.hold if hold else consumer.fetch_on)(TP(*place))


def _place(tp: TP) -> Place:
    return tp.topic, tp.partition
