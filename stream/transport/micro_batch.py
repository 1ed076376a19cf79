"""Faust's aiokafka transport, changed in three places: what a fetch yields, where reading begins, who commits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, ClassVar, NamedTuple, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from tokentide.stream.transport.batches import Batches
from tokentide.stream.transport.fetched import Fetched, Sift
from tokentide.stream.watched import Fetching


class LogBounds(NamedTuple):
    """What the broker says of an assigned partition."""

    committed: int | None
    """The group's committed offset."""
    earliest: int
    """The first offset that is still there."""


PlanStart = Callable[[Mapping[TP, LogBounds], int], Awaitable[Mapping[TP, int]]]
"""Where to begin reading the partitions assigned in a generation; called in the app's own loop."""

ConsumerFactory = Callable[[], AIOKafkaConsumer]

_POSITION_LOST = (CommitFailedError, IllegalStateError)


class MicroBatchThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread: fetches, heartbeats, and commits what it is told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batches = Batches()
        self._calls: dict[int, str] = {}
        self._called = 0

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        assert isinstance(transport, MicroBatchTransport)
        return transport.new_consumer()

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - the overridden signature
        max_records: int | None = None,
    ) -> dict[TP, list[Fetched]]:
        del max_records  # a fetch is bounded in bytes
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher  # noqa: SLF001 - see `fetched.drain`
        if consumer._closed or fetcher._closed:  # noqa: SLF001
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            return await self._batches.next(fetcher, active_partitions, timeout or 0.0)

    @property
    def calls(self) -> Mapping[int, str]:
        """What this thread was asked to do and has not done yet, by number; of what is asked here."""
        return dict(self._calls)

    async def _asked(self, name: str, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        self._called += 1
        number = self._called
        self._calls[number] = name
        try:
            return await self.call_thread(method, *arguments)
        finally:
            del self._calls[number]

    def fetching(self, tp: TP) -> Fetching | None:
        """What is known of the fetches of a partition, or None if it is not assigned; any thread may ask."""
        consumer, place = self._ensure_consumer(), TopicPartition(*tp)
        subscription = consumer._subscription.subscription  # noqa: SLF001 - see `fetched.drain`
        assignment = None if subscription is None else subscription.assignment
        if assignment is None or place not in assignment.tps:
            return None
        state = assignment.state_value(place)
        arriving = [
            len(connection._reader._buffer)  # noqa: SLF001
            for connection in list(consumer._client._conns.values())  # noqa: SLF001
            if connection._reader is not None  # noqa: SLF001
        ]
        return Fetching(
            end=state.highwater,
            position=state._position,  # noqa: SLF001 - None before it is known
            is_waiting=place in consumer._fetcher._records,  # noqa: SLF001
            answers=(state.timestamp, sum(arriving)),
        )

    async def commit_position(self, positions: Mapping[TP, int]) -> bool:
        """Commit; return False if the group has moved on without us.

        Raises:
            aiokafka.errors.KafkaError: the broker could not be reached or refused; the outcome is unknown.
        """
        accepted: bool = await self._asked("commit", self._commit_position, positions)
        return accepted

    async def _commit_position(self, positions: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        offsets = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in positions.items()}
        try:
            await consumer.commit(offsets)
        except _POSITION_LOST:
            return False
        return True

    async def log_bounds(self) -> Mapping[TP, LogBounds]:
        """Ask the broker about every assigned partition."""
        bounds: Mapping[TP, LogBounds] = await self._asked("bounds of the logs", self._log_bounds)
        return bounds

    async def _log_bounds(self) -> Mapping[TP, LogBounds]:
        consumer = self._ensure_consumer()
        assignment = consumer.assignment()
        earliest = await consumer.beginning_offsets(assignment) if assignment else {}
        return {
            TP(tp.topic, tp.partition): LogBounds(await consumer.committed(tp), earliest[tp])
            for tp in assignment
        }

    async def offsets_since(self, timestamp_ms: int, places: Iterable[TP]) -> Mapping[TP, int | None]:
        """See `MicroBatchConsumer.offsets_since`."""
        offsets: Mapping[TP, int | None] = await self._asked(
            "offsets by time", self._offsets_since, timestamp_ms, places
        )
        return offsets

    async def _offsets_since(self, timestamp_ms: int, places: Iterable[TP]) -> Mapping[TP, int | None]:
        asked = {TopicPartition(*tp): timestamp_ms for tp in places}
        found = await self._ensure_consumer().offsets_for_times(asked)
        # The embedded broker answers with the timestamp -1 where others leave the partition out.
        return {
            TP(*tp): None if offset is None or offset.timestamp < 0 else offset.offset
            for tp, offset in found.items()
        }

    async def seek_all(self, positions: Mapping[TP, int], sifts: Mapping[TP, Sift]) -> None:
        """Read on from these positions, leaving out what sifts do not want."""
        await self._asked("seek", self._seek_all, positions, sifts)

    async def _seek_all(self, positions: Mapping[TP, int], sifts: Mapping[TP, Sift]) -> None:
        consumer = self._ensure_consumer()
        kept = {tp: sift for tp, sift in self._batches.sifts.items() if tp not in positions}
        self._batches.sifts = kept | {tp: sift for tp, sift in sifts.items() if tp in positions}
        for tp, position in positions.items():
            if TopicPartition(*tp) in consumer.assignment():
                consumer.seek(TopicPartition(*tp), position)


class _NothingRead(dict[TP, int]):
    """Faust's memory of what it has read, switched off: it would drop what is read again after a rewind.

    The state that batches are folded into knows its position, and leaves out what it has already.
    """

    def __getitem__(self, _: TP) -> None:  # type: ignore[override] # Faust's map says None for a partition not read yet
        return None


class MicroBatchConsumer(driver.Consumer):
    """Faust's consumer over the thread above."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = cast("MutableMapping[TP, int | None]", _NothingRead())
        self.sifts: Mapping[TP, Sift] = {}
        """For the next time that partitions are sought: what is wanted before all is."""
        self._held: set[TP] = set()

    def _new_consumer_thread(self) -> MicroBatchThread:
        return MicroBatchThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _fetching(self) -> MicroBatchThread:
        return cast("MicroBatchThread", self._thread)

    def _to_message(self, tp: TP, record: Fetched) -> ConsumerMessage:
        last = record.batch.end - 1
        value = cast("bytes", record)  # the topic is declared with the raw codec, which passes anything on
        return ConsumerMessage(
            tp.topic, tp.partition, last, 0.0, 0, [], None, value, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to where its reading has to begin."""
        self._held.clear()  # Faust has all that is assigned fetched
        thread, transport = self._fetching, cast("MicroBatchTransport", self.transport)
        generation = self.app.consumer_generation_id
        positions = await transport.plan_start(await thread.log_bounds(), generation)
        await thread.seek_all(positions, self.sifts)
        return positions

    async def commit_position(self, positions: Mapping[TP, int]) -> bool:
        """See `MicroBatchThread.commit_position`."""
        return await self._fetching.commit_position(positions)

    async def log_bounds(self) -> Mapping[TP, LogBounds]:
        """What the broker says of every assigned partition."""
        return await self._fetching.log_bounds()

    def log_end(self, tp: TP) -> int | None:
        """The end of an assigned partition, as the last fetch told it; None before one, and where it is not assigned."""
        try:
            end: int | None = self.highwater(tp)
        except AssertionError:  # aiokafka's way to say that it was revoked a moment ago
            return None
        return end

    def fetching(self, tp: TP) -> Fetching | None:
        """See `MicroBatchThread.fetching`."""
        return self._fetching.fetching(tp)

    @property
    def calls(self) -> Mapping[int, str]:
        """See `MicroBatchThread.calls`."""
        return self._fetching.calls

    def hold(self, tp: TP) -> None:
        """Fetch no more of a partition until `fetch_on`; the others are fetched on."""
        self._held.add(tp)
        self.on_buffer_full(tp)  # Faust's own switch

    def fetch_on(self, tp: TP) -> None:
        """See `hold`."""
        self._held.discard(tp)
        self.on_buffer_drop(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        """Faust's queue has room again: of no interest where the partition is held for another reason."""
        if tp not in self._held:
            super().on_buffer_drop(tp)

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        """Read these partitions on from these positions; batches fetched before may still arrive."""
        await self._fetching.seek_all(positions, self.sifts)

    async def offsets_since(self, timestamp_ms: int, places: Iterable[TP]) -> Mapping[TP, int | None]:
        """Of each partition the first offset that was sent at a time or later; None where there is none."""
        return await self._fetching.offsets_since(timestamp_ms, places)


class MicroBatchTransport(driver.Transport):
    """Install with `app.transport = …` after setting `new_consumer` and `plan_start`."""

    Consumer: ClassVar[type[MicroBatchConsumer]] = MicroBatchConsumer
    new_consumer: ConsumerFactory
    plan_start: PlanStart
