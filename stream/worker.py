"""The worker process: a Faust app with the micro-batch transport, and what ends it.

Crash-only: whatever cannot be retried ends the process with its own exit code and one log line that says what
to do; starting it again is always safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog
from faust.types import TP
from kafka.errors import KafkaError

from tokentide.config import Settings
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sinks.connection import open_client
from tokentide.sinks.errors import RetriableSinkError, SinkStoppedError
from tokentide.sinks.retry import RetryPolicy
from tokentide.stream.anomaly_outlets import AnomalyOutlets
from tokentide.stream.app import new_app
from tokentide.stream.assembly import build_core, new_producer, sources
from tokentide.stream.core_thread import CoreThread
from tokentide.stream.counts import FailedTries, IngestCounts
from tokentide.stream.detection_assembly import DetectStage
from tokentide.stream.exits import Exit, StalledError, exit_for, told_of
from tokentide.stream.foreign_commit import ForeignCommitWatch
from tokentide.stream.group_readers import has_readers
from tokentide.stream.hard_end import HardEnd
from tokentide.stream.ingest import Ingest, Outside, Pace
from tokentide.stream.kafka_out import KafkaOut
from tokentide.stream.kafka_probe import kafka_answers
from tokentide.stream.logs import configure_logs
from tokentide.stream.memory import collect_seldom, give_back_freed_memory, keep_freed_memory
from tokentide.stream.metrics_http import MetricsServer
from tokentide.stream.metrics_text import exposition
from tokentide.stream.partition import PartitionFold
from tokentide.stream.reject_alarm import RejectAlarm
from tokentide.stream.reject_incidents import RejectIncidents
from tokentide.stream.reject_stage import RejectStage
from tokentide.stream.resume import Start, plan_start, provisional_start, segments_to_ask
from tokentide.stream.stall import Stalled, StallWatch
from tokentide.stream.store import ClickHouseStore
from tokentide.stream.transport.fetched import Place, Sift
from tokentide.stream.transport.micro_batch import LogBounds, MicroBatchConsumer
from tokentide.stream.watched import Seen, told, works
from tokentide.stream.worker_metrics import (
    decoder_samples,
    detect_samples,
    ingest_samples,
    lag_samples,
    process_samples,
    sink_samples,
)

log = structlog.get_logger("tokentide.worker")

_PLANNED_WITHIN_S: Final = 3.0
"""While partitions are planned the group hears nothing of this worker: long before the session is over, and no longer than it takes a
ClickHouse that answers at all. (aiokafka sends no heartbeats meanwhile, so a worker that waited for a slow one lost its
partitions again and again.)"""

_AWAY_GRACE_S: Final = 20.0
"""So long a worker that starts waits for ClickHouse in any case."""
_LOOK_AGAIN_S: Final = 5.0
_MEMORY_BACK_EVERY_S: Final = 30.0
_LAST_WORK_S = 2.0
"""What is still being folded when all else has ended is read again anyway."""

_OUTAGE_AFTER = RetryPolicy(deadline_s=10.0)
"""An insert that fails for so long is an outage, and told as one each time."""


def run_worker(settings: Settings) -> int:
    """Run until told to stop or until it cannot go on; return the exit code (`tokentide.stream.exits.Exit`)."""
    keep_freed_memory()
    collect_seldom()
    configure_logs(settings.log)
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    try:
        worker = Worker(settings, HardEnd())
        return await worker.run()
    except Exception as error:  # noqa: BLE001 - the outermost loop: every end has a code and a line
        return _report(error, settings)


def _report(error: BaseException, settings: Settings) -> int:
    code, said, remedy = told_of(error, settings.kafka)
    log.error(
        "worker ended",
        error=said,
        kind=type(error).__name__,
        remedy=remedy,
        exc_info=code is Exit.BUG,
    )
    return int(code)


class Worker:
    """One worker process. Build and run it inside one event loop."""

    def __init__(self, settings: Settings, hard_end: HardEnd) -> None:
        """Wire everything; asks Kafka which log the topic is."""
        self._settings = settings
        self._hard_end = hard_end
        self._core = build_core(settings)
        self._sources = sources(settings, settings.topics.events)
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._started_at = time.time()
        self._metrics = MetricsServer(
            self._exposition,
            lambda: not self._stop.is_set(),
            allowed_hosts=settings.metrics.allowed_hosts,
        )
        self._tries = FailedTries()
        self._work = CoreThread()
        self._turns = 0
        self._asks_kafka = 0
        self._store = ClickHouseStore(
            ClickHouseSink.from_settings(
                settings.clickhouse,
                retry=_OUTAGE_AFTER,
                should_stop=self._stop.is_set,
                on_failed_try=self._tries.failed,
            ),
            lambda: open_client(settings.clickhouse),
            self._outage,
            should_stop=self._stop.is_set,
        )
        out = self._out = KafkaOut(
            lambda: new_producer(settings),
            rejected_topic=settings.topics.rejected,
            windows_topic=settings.topics.windows,
        )
        worker = settings.worker
        self._ingest = Ingest(
            Outside(self._store, out, out, self._commit, self._rewind, self._begin_anew),
            self._new_partition,
            Pace(
                worker.checkpoint_seconds,
                worker.checkpoint_max_seconds,
                worker.checkpoint_rows,
                worker.event_rows_max_bytes,
            ),
            IngestCounts(
                RejectAlarm(share=settings.dead_letters.alarm_share, run=settings.dead_letters.alarm_run)
            ),
            work=self._work,
        )
        self._rejects, self._reject_outlets = self._new_reject_stage()
        self._detect: DetectStage | None = None
        if "detect" in settings.worker.stages:
            self._detect = DetectStage(
                settings, self._consumer, self._commit, self._stop.is_set, self._tries, work=self._work
            )
        self._app = new_app(settings, self)

    def _new_reject_stage(self) -> tuple[RejectStage, AnomalyOutlets]:
        settings = self._settings
        letters = settings.dead_letters
        outlets = AnomalyOutlets(settings, self._stop.is_set, self._tries)
        incidents = RejectIncidents(settings.topics.events, share=letters.alarm_share, run=letters.alarm_run)
        stage = RejectStage(outlets.topic, outlets.table, incidents, self._ingest.counts.go_on_with)
        return stage, outlets

    async def run(self) -> int:
        """Start, run until told to stop or something fails, make a last checkpoint, and return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        await self._serve_metrics()
        if "ingest" in self._settings.worker.stages:
            await self._until_it_may_join()
        if not self._stop.is_set():
            await self._app.start()
        tasks = [] if self._stop.is_set() else self._begin_works()
        await self._stop.wait()
        self._hard_end.begin(int(self._code()))
        self._ingest.take_no_more()
        if self._failure is None:
            with contextlib.suppress(SinkStoppedError):
                await self._ingest.checkpoint()
        for task in tasks:
            task.cancel()
        await self._end()
        if self._failure is None:
            log.info("worker stopped", events=self._ingest.counts.events)
        else:
            _report(self._failure, self._settings)
        if not self._work.close(patience_s=_LAST_WORK_S):
            self._hard_end.now(int(self._code()))
        return int(self._code())

    def _code(self) -> Exit:
        return Exit.STOPPED if self._failure is None else exit_for(self._failure)[0]

    async def _until_it_may_join(self) -> None:
        """Wait for ClickHouse: who cannot store would take partitions from those who can.

        Where it does not answer and nobody reads the events either, windows are folded and published all the same, so that incidents
        are noticed. Who is refused, by its password for one, ends.
        """
        asking = asyncio.create_task(self._store.answers())
        stopping = asyncio.create_task(self._stop.wait())
        patience_s = _AWAY_GRACE_S
        while not (
            await asyncio.wait((asking, stopping), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        )[0]:
            if not await self._has_readers():
                log.warning(
                    "clickhouse does not answer, and nobody reads the events: incidents are noticed without it",
                    remedy="see that ClickHouse is up and the address is right; rows are stored once it answers",
                )
                break
            log.warning("clickhouse does not answer; the partitions stay with the workers that have them")
            patience_s = _LOOK_AGAIN_S
        for task in (asking, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SinkStoppedError):
            await asking

    async def _has_readers(self) -> bool:
        return await asyncio.to_thread(has_readers, self._settings, self._settings.topics.events)

    def _begin_works(self) -> list[asyncio.Task[None]]:
        """What runs beside the app; to be cancelled not before it has run, or Python warns that it never has."""
        works = [
            self._ingest.checkpoint_forever(),
            self._ingest.publish_forever(),
            self._watch(),
            self._watch_sources(),
            self._give_back_memory(),
        ]
        works += self._rejects.loops()
        if self._detect is not None:
            works += self._detect.detection.loops()
        tasks = [asyncio.create_task(self._supervised(work)) for work in works]
        log.info(
            "worker started",
            group=self._settings.worker.group_id,
            fold=f"{self._core.rules.fold_id:016x}",
            decoder=self._core.decoder.name,
            because=self._core.decoder.reason,
        )
        return tasks

    async def _end(self) -> None:
        # After a failure nothing more is worth waiting for: what was not committed is read again.
        patience_s = 10.0 if self._failure is None else 2.0
        with contextlib.suppress(Exception):
            if self._failure is None:
                await asyncio.wait_for(self._rejects.finish(), patience_s)
        with contextlib.suppress(Exception):
            await self._reject_outlets.close()
        if self._detect is not None:
            with contextlib.suppress(Exception):
                await self._detect.close(patience_s=patience_s, say_rest=self._failure is None)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._app.stop(), patience_s)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._out.close(), patience_s)
        await self._metrics.close()

    async def _serve_metrics(self) -> None:
        settings = self._settings.metrics
        if settings.port is not None:
            address = await self._metrics.start(settings.host, settings.port)
            log.info("metrics are served", metrics=f"{address}/metrics", health=f"{address}/healthz")

    def _exposition(self) -> str:
        standing = self._ingest.standing()
        positions = {place: found.position for place, found in standing.items()}
        samples = [*process_samples(self._started_at), *sink_samples(self._tries)]
        if "ingest" in self._settings.worker.stages:
            samples += ingest_samples(
                self._ingest.counts, standing, self._out.partials_sent, self._core.enricher.dropped_texts
            )
            samples += decoder_samples(self._core.decoder)
        if self._detect is not None:
            samples += detect_samples(self._detect.detection)
            positions |= self._detect.detection.positions()
        samples += lag_samples(positions, lambda place: self._consumer().log_end(TP(*place)))
        return exposition(samples)

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            self._hard_end.now(int(Exit.STOPPED))
        self._stop.set()

    def fail(self, error: BaseException) -> None:
        """End the worker because of `error`; the first one counts."""
        if self._failure is None:
            self._failure = error
        self._stop.set()

    async def _supervised(self, work: Any) -> None:
        try:
            await work
        except SinkStoppedError:
            pass  # only once the worker is told to stop: what was not stored is read again after the next start
        except Exception as error:  # noqa: BLE001 - handed to the outermost loop
            self.fail(error)

    async def _give_back_memory(self) -> None:
        while True:
            await asyncio.sleep(_MEMORY_BACK_EVERY_S)
            await self._work.run("giving back memory", give_back_freed_memory)

    async def _watch(self) -> None:
        """Notice when Faust's own services have crashed, or something hangs that ought to get on."""
        stall = StallWatch(self._settings.worker.stall_seconds)
        commits = ForeignCommitWatch[Place]()
        anew: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        while not self._app.crashed:
            await asyncio.sleep(0.5)
            ahead = self._ingest.commits_ahead()
            ends_ahead = {place: self._consumer().log_end(TP(*place)) for place in ahead}
            foreign = commits.foreign(loop.time(), ahead, ends_ahead)
            if foreign and (anew is None or anew.done()):
                # Beside this: what asks Kafka may hang, and that is watched here.
                anew = asyncio.create_task(self._supervised(self._begin_anew(foreign)))
            self._rejects.tell(self._ingest.counts.say_alarms(self._ingest.positions()))
            for stalled in stall.look(loop.time(), works(self._seen())):
                if stalled.work.asks_kafka and not await self._kafka_answers(stalled):
                    stall.excuse(stalled.name)
                    continue
                self.fail(StalledError(told(stalled)))
                return
        self.fail(self._app.crash_reason or RuntimeError("the stream app crashed"))

    def _seen(self) -> Seen:
        consumer = self._consumer()
        detecting = {} if self._detect is None else self._detect.detection.positions()
        positions = {**self._ingest.positions(), **detecting}
        fetching = {
            place: found for place in positions if (found := consumer.fetching(TP(*place))) is not None
        }
        # First what the thread is at: a piece that ends meanwhile is none that hangs.
        doing = self._work.doing
        return Seen(
            doing,
            self._work.begun,
            positions,
            fetching,
            consumer.calls,
            self._turns,
            self._asks_kafka > 0,
            self._out.acknowledged if self._out.sending else None,
        )

    async def _kafka_answers(self, stalled: Stalled) -> bool:
        """Whether it is this worker that hangs. While Kafka is away it is waited for, however long."""
        place = next(iter(self._ingest.positions()), None)
        if isinstance(stalled.name, tuple) and stalled.name[0] == "fetch":
            place = stalled.name[1]
        answers = await self._probe(place)
        if not answers:
            log.warning("kafka does not answer; waiting for it", waits=told(stalled))
        return answers

    async def _probe(self, place: Place | None) -> bool:
        return await asyncio.to_thread(kafka_answers, self._settings, place)

    async def _watch_sources(self) -> None:
        """Notice when the topic is made anew under this worker and its new log goes on where the old one ended."""
        while True:
            await asyncio.sleep(self._settings.worker.metadata_refresh_seconds)
            before = self._sources
            with contextlib.suppress(KafkaError):  # it is away; its clients say so
                await self._find_sources()
            if moved := [
                place for place in self._ingest.standing() if self._sources.get(place) != before.get(place)
            ]:
                await self._begin_anew(moved)

    async def consume(self, stream: Any) -> None:
        """The agent's body: take every batch; no exception leaves it (Faust would swallow it and go on)."""
        async for event in stream.events():
            self._turns += 1
            try:
                await self._ingest.take(event.value, event.message.generation_id)
            except Exception as error:  # noqa: BLE001 - handed to the outermost loop
                self.fail(error)
                return

    async def consume_windows(self, stream: Any) -> None:
        """The same for the windows topic; the stage works the batches off in its own time."""
        assert self._detect is not None
        async for event in stream.events():
            self._turns += 1
            self._detect.detection.take(event.value, event.message.generation_id)

    async def revoked(self) -> None:
        """Partitions are being taken away."""
        self._ingest.forget()
        await self._rejects.forget()
        if self._detect is not None:
            await self._detect.detection.forget()

    def _new_partition(self, place: Place, start: Start) -> PartitionFold:
        return self._core.partition(self._sources[place], start)

    def _consumer(self) -> MicroBatchConsumer:
        consumer = self._app.consumer
        assert isinstance(consumer, MicroBatchConsumer)
        return consumer

    async def _commit(self, positions: Mapping[Place, int]) -> bool:
        return await self._consumer().commit_position(
            {TP(*place): position for place, position in positions.items()}
        )

    def _outage(self, error: RetriableSinkError) -> None:
        self._tries.given_up(error)
        log.warning("clickhouse does not take rows; they are held and tried again", error=str(error))
        self._ingest.outage()

    async def _rewind(self, places: Sequence[Place]) -> None:
        """Read partitions again from what is durable."""
        await self._store.answers()  # which may take hours: the broker is asked afterwards
        await self._read_again(places, self._plan)
        log.info("read again what was let go", partitions=_names(places))

    async def _begin_anew(self, places: Sequence[Place]) -> None:
        """Read partitions from their first record: their commit is no position of the log."""
        log.error(
            "the log has no record where the group went on; it is read from its beginning",
            partitions=_names(places),
            remedy="nothing is to be done where the topic was made anew or the group was moved; else the brokers have lost records",
        )
        await self._find_sources()
        await self._read_again(places, self._plan_anew)

    async def _read_again(
        self, places: Sequence[Place], plan: Callable[[TP, LogBounds], Awaitable[Start]]
    ) -> None:
        consumer, generation = self._consumer(), self._app.consumer_generation_id
        bounds = await consumer.log_bounds()
        starts = {
            place: await plan(TP(*place), bounds[TP(*place)]) for place in places if TP(*place) in bounds
        }
        if generation != self._app.consumer_generation_id:
            return  # assigned anew meanwhile, with positions planned anew
        sought = self._ingest.begin_again(starts, generation)
        consumer.sifts = _sifts(starts)
        await consumer.rewind({TP(*place): starts[place].fetch_from for place in sought})

    async def _find_sources(self) -> None:
        """Ask which log each partition is: the topic may have been made anew, or been given more partitions."""
        self._asks_kafka += 1
        try:
            self._sources = await asyncio.to_thread(sources, self._settings, self._settings.topics.events)
        finally:
            self._asks_kafka -= 1

    async def plan_start(self, bounds: Mapping[TP, LogBounds], generation: int) -> Mapping[TP, int]:
        """Decide where each assigned partition begins, and forget what was held of it."""
        events = self._settings.topics.events
        if any(tp.topic == events for tp in bounds):
            await self._find_sources()
        starts = await self._planned_soon({tp: found for tp, found in bounds.items() if tp.topic == events})
        self._ingest.begin(starts, generation)
        self._consumer().sifts = _sifts(starts)
        self._rejects.begin([partition for _, partition in starts], generation)
        begins = {TP(*place): start.fetch_from for place, start in starts.items()}
        if self._detect is not None:
            windows = {tp: found for tp, found in bounds.items() if tp.topic != events}
            begins |= await self._detect.plan_start(windows, generation)
        log.info("partitions assigned", generation=generation, positions=_positions(starts))
        return begins

    async def _planned_soon(self, bounds: Mapping[TP, LogBounds]) -> Mapping[Place, Start]:
        """By the ledger, as far as it answers soon; the others are planned again by it once it does (`_rewind`)."""
        within_s = min(_PLANNED_WITHIN_S, self._settings.worker.session_timeout_seconds / 3)
        starts: dict[Place, Start] = {}
        with contextlib.suppress(TimeoutError, SinkStoppedError):
            async with asyncio.timeout(within_s):
                for tp, found in bounds.items():
                    starts[tp.topic, tp.partition] = await self._plan(tp, found)
        late = {(tp.topic, tp.partition): found for tp, found in bounds.items() if tuple(tp) not in starts}
        if late:
            log.warning(
                "clickhouse does not say what is stored: windows are published meanwhile, nothing is stored or committed",
                partitions=_names(list(late)),
            )
        return starts | {
            place: provisional_start(found.committed, found.earliest) for place, found in late.items()
        }

    async def _plan_anew(self, _: TP, bounds: LogBounds) -> Start:
        return plan_start(None, bounds.earliest, (), self._core.rules.fold_id)

    async def _plan(self, tp: TP, bounds: LogBounds) -> Start:
        source = self._sources[tp.topic, tp.partition]
        segments = segments_to_ask(bounds.committed, bounds.earliest)
        entries = await self._store.ledger(source.name, tp.partition, segments)
        start = plan_start(bounds.committed, bounds.earliest, entries, self._core.rules.fold_id)
        if start.lost:
            log.error(
                "retention took records before they were read",
                partition=tp.partition,
                lost=start.lost,
                remedy="raise topics.events_retention_hours, or run more workers",
            )
        if start.lost_parts:
            log.error(
                "retention took parts of calls that waited for their partner",
                partition=tp.partition,
                lost_parts=start.lost_parts,
                remedy="raise topics.events_retention_hours: it has to outlast the time that workers do not run",
            )
        return start


def _sifts(starts: Mapping[Place, Start]) -> Mapping[TP, Sift]:
    """Of partitions that are read from further back than they are folded from, only what waits is wanted before that."""
    return {
        TP(*place): Sift(np.array(start.waiting, np.int64)[:, 0], start.read_from)
        for place, start in starts.items()
        if start.waiting
    }


def _names(places: Sequence[Place]) -> list[str]:
    return [f"{topic}/{partition}" for topic, partition in places]


def _positions(starts: Mapping[Place, Start]) -> Mapping[str, int]:
    return {f"{topic}/{partition}": start.resume_at for (topic, partition), start in sorted(starts.items())}
