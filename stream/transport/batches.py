"""Which of the fetches that wait is taken next, and when: a fetch per batch, and few small ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.consumer.fetcher import FetchResult
from faust.types import TP

from tokentide.stream.transport.fetched import Fetched, Sift, drain, size_in_bytes

SMALL_BYTES: Final = 262_144
"""A fetch of less, as it came from the broker, is small."""

PAUSE_S: Final = 0.3
"""From one small fetch of a partition to the next. A batch costs some 5 ms whatever is in it; without a
pause a worker would take two hundred of them a second, of fifty events each."""

FAR: Final = 4
"""Where more than so many fetches like this one lie between what was taken and what is wanted next, they are not fetched. A seek
throws away what has been fetched ahead."""


class Batches:
    """Takes fetches out of aiokafka's fetcher, one at a time; unpacked, one takes ten times the memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it; the clock gives seconds, never backwards."""
        self._clock = clock
        self._taken_s: dict[Any, float] = {}
        self.sifts: Mapping[Any, Sift] = {}
        """Of partitions of which not all is wanted yet."""

    async def next(self, fetcher: Any, partitions: set[TP], patience_s: float) -> dict[TP, list[Fetched]]:
        """What has been fetched of one partition; waits up to `patience_s` seconds for something.

        Raises:
            aiokafka.errors.KafkaError: what the fetcher could not mend, such as a missing authorisation.
        """
        until_s = self._clock() + patience_s
        while True:
            if fetcher._subscriptions.reassignment_in_progress:  # noqa: SLF001 - see `fetched.drain`
                await fetcher._subscriptions.wait_for_assignment()  # noqa: SLF001
            now_s = self._clock()
            fetched = self._take(fetcher, partitions, now_s)
            if fetched or now_s >= until_s:
                return fetched
            wait_s = min([until_s, *self._due_s(fetcher, now_s)]) - now_s
            waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
            done, pending = await asyncio.wait([waiter], timeout=max(0.0, wait_s))
            for left in pending:
                left.cancel()
            for finished in done:
                finished.result()

    def _take(self, fetcher: Any, partitions: set[TP], now_s: float) -> dict[TP, list[Fetched]]:
        results = fetcher._records  # noqa: SLF001
        for tp in list(results):
            if partitions and tp not in partitions:
                if not fetcher._subscriptions.is_assigned(tp):  # noqa: SLF001
                    del results[tp]
                continue
            if self._is_early(tp, results[tp], now_s):
                continue
            result = results.pop(tp)
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - fetch on
            if type(result) is not FetchResult:
                result.check_raise()
            elif (batch := drain(tp, result, self.sifts.get(tp))) is not None:
                self._taken_s[tp] = now_s
                return {TP(tp.topic, tp.partition): [self._skipped(fetcher, tp, batch)]}
        return {}

    def _skipped(self, fetcher: Any, tp: Any, fetched: Fetched) -> Fetched:
        """With all that is not wanted behind it, if that is much."""
        batch, sift = fetched.batch, self.sifts.get(tp)
        if sift is None or batch.end >= sift.until:
            return fetched
        wanted = sift.next(batch.end)
        if wanted - batch.end <= FAR * (batch.end - batch.begin):
            return fetched
        fetcher.seek_to(tp, wanted)
        return fetched._replace(batch=batch._replace(end=wanted))

    def _is_early(self, tp: Any, result: Any, now_s: float) -> bool:
        """Whether a fetch is small and the last one was just now: then more may come, which costs nothing more."""
        if now_s >= self._taken_s.get(tp, 0.0) + PAUSE_S or type(result) is not FetchResult:
            return False
        return size_in_bytes(result) < SMALL_BYTES

    def _due_s(self, fetcher: Any, now_s: float) -> list[float]:
        """When small fetches that wait may be taken; one that is due and was not taken is not wanted now."""
        due_s = [self._taken_s[tp] + PAUSE_S for tp in fetcher._records if tp in self._taken_s]  # noqa: SLF001
        return [moment_s for moment_s in due_s if moment_s > now_s]
