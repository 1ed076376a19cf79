"""The detect stage: holds the assigned partitions of the windows topic and says what their incidents are.

Batches are only queued where they arrive (`take`), and worked off in small slices, by the same `Serial` as those of ingest:
nothing else touches detectors, and what was said is touched with `_speaking` held. Incidents go to Kafka first and then to ClickHouse; neither ClickHouse nor the search for examples is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.core_thread import Inline, Serial
from tokentide.stream.detect.announce import Announcements, Patience
from tokentide.stream.detect.detector import Detector
from tokentide.stream.detect.room import Limits
from tokentide.stream.detect.rows import NotPartialsError, PartialDecoder
from tokentide.stream.detect.rules import DEFAULT_RULES, Examples, Rule
from tokentide.stream.detection_table import Said
from tokentide.stream.incident_outbox import IncidentOutbox, Inserter, Sender
from tokentide.stream.transport.fetched import Fetched, Place

log = structlog.get_logger("tokentide.detection")

LOOK_BACK_HOURS: Final = 7
"""How far back of sending time a partition is read when it is newly assigned: the six hours of a baseline, and one."""

MOST_ROWS: Final = 400_000
"""Partials held by one worker, over all its partitions."""

_HOLD_BYTES: Final = 16_777_216
_GO_ON_BYTES: Final = 4_194_304
"""Records waiting above the one, no more are fetched until they are below the other."""

_SLICE_RECORDS: Final = 200
_SLICE_BYTES: Final = 4_194_304
"""What is worked off at once, whichever is less: at most some 3,000 rows, 20 ms."""

_TICK_S: Final = 0.25
_LAST_WORDS_S: Final = 3.0
"""How long the group may be kept waiting for what is being said."""
_COMMIT_S: Final = 5.0

_MOST_LINES: Final = 20
"""Log lines for what is said at once: an outage of a provider may open thousands of incidents."""

_SAID_WITHIN_S: Final = 30.0
"""How long a slow ClickHouse may keep incidents from being noticed, at each assignment."""

_EXAMPLES_AFTER_S: Final = 2.0
"""The events of a partial are stored a moment after it is published, or before."""
_EXAMPLES_TRIES: Final = 3
_MOST_SEARCHES: Final = 200


class Bounds(Protocol):
    """What the broker says of an assigned partition."""

    @property
    def committed(self) -> int | None:
        """Up to where the group has judged."""
        ...

    @property
    def earliest(self) -> int:
        """The first offset that is still there."""
        ...


class Topic(Sender, Protocol):
    """The topic of incidents; see `tokentide.stream.detection_topic`."""

    async def heard(self) -> Sequence[Anomaly]:
        """What was sent since the last call, by anybody."""
        ...


class Table(Inserter, Protocol):
    """The table of incidents; see `tokentide.stream.detection_table`."""

    async def said(self) -> Said:
        """What it knows; raises `ClickHouseError`."""
        ...

    async def examples(self, anomaly: Anomaly, kind: Examples) -> Sequence[str]:
        """Events that show an incident; raises `ClickHouseError`."""
        ...


class Outside(NamedTuple):
    """Everything that the stage needs of the world."""

    topic: Topic
    table: Table
    log_end: Callable[[Place], int | None]
    """The end of an assigned partition, as far as it is known."""
    hold: Callable[[Place, bool], None]
    """Stop fetching a partition, or go on."""
    commit: Callable[[Mapping[Place, int]], Awaitable[bool]]


class Progress(NamedTuple):
    """Totals since the start of the process."""

    partials: int = 0
    refused_records: int = 0
    messages: int = 0


@dataclass(slots=True)
class _Done:
    """Of one slice, so far; a defect may end it in the middle."""

    partials: int = 0
    refused_records: int = 0
    seconds: float = 0.0


class _Assigned:
    """One partition of the windows topic."""

    def __init__(self, detector: Detector, begin: int, judged_to: int | None) -> None:
        self.detector = detector
        self.position = begin
        self.judged_to = judged_to
        """Up to where an earlier owner had judged, by the group's commit."""
        self.end: int | None = None
        """End of the log when the first records came: up to there, old records are read again."""
        self.has_heard = False
        """Whether it knows what was said of its series."""
        self.is_broken = False
        """Whether a defect ended its detection."""

    @property
    def has_caught_up(self) -> bool:
        return self.end is not None and self.position >= self.end

    @property
    def may_speak(self) -> bool:
        return self.has_caught_up and self.has_heard and not self.is_broken


class Detection:
    """The detect stage of one worker. Build and use it inside one event loop."""

    def __init__(
        self,
        outside: Outside,
        rules: Iterable[Rule] = DEFAULT_RULES,
        *,
        patience: Patience | None = None,
        groups: int = Limits().groups,
        clock: Callable[[], float] = time.monotonic,
        work: Serial | None = None,
    ) -> None:
        """Make the stage.

        Args:
            outside: the world.
            rules: what to look for.
            patience: how long changes wait before they are said.
            groups: series to hold of each partition.
            clock: seconds, never backwards; decides only when something is said.
            work: does what takes the processor; by default at once, in the event loop.
        """
        self._outside = outside
        self._serial = work or Inline()
        self._rules = tuple(rules)
        self._groups = groups
        self._clock = clock
        self._announcements = Announcements(self._rules, patience)
        self._decoder = PartialDecoder()
        self._assigned: dict[Place, _Assigned] = {}
        self._generation: int | None = None
        self._waiting: deque[Fetched] = deque()
        self._waiting_bytes = 0
        self._is_holding = False
        self._arrived = asyncio.Event()
        self._outbox = IncidentOutbox(outside.topic, outside.table)
        self._to_explain: deque[tuple[float, int, Anomaly]] = deque(maxlen=_MOST_SEARCHES)
        self._committed: dict[Place, int] = {}
        self._commit_at = 0.0
        self._late_partials = 0
        self._speaking = asyncio.Lock()
        self._is_to_tell_again = False
        self._waits_outside = 0
        self.progress = Progress()

    def begin(
        self, bounds: Mapping[Place, Bounds], look_back: Mapping[Place, int | None], generation: int
    ) -> Mapping[Place, int]:
        """A new generation of the group has assigned these partitions; return where to begin reading each.

        One that was held in the generation before goes on where it was; the others are read back.

        Args:
            bounds: what the broker says of each.
            look_back: of each the first offset that is young enough to be read back, if there is one.
            generation: of the group.
        """
        held, self._assigned = self._assigned, {}
        for place, found in bounds.items():
            self._assigned[place] = held.get(place) or self._new(found, look_back.get(place), len(bounds))
        if held.keys() - bounds.keys():
            self._is_to_tell_again = True  # by the next piece of work: one may be under way
        self._generation = generation
        self._committed = {}
        self._drop_waiting()
        return {place: assigned.position for place, assigned in self._assigned.items()}

    def _new(self, bounds: Bounds, look_back: int | None, partitions: int) -> _Assigned:
        begin = bounds.earliest if look_back is None else max(bounds.earliest, look_back)
        if bounds.committed is not None:
            begin = max(bounds.earliest, min(begin, bounds.committed))
        limits = Limits(rows=max(50_000, MOST_ROWS // partitions), groups=self._groups)
        detector = Detector(self._rules, is_complete=begin == 0, limits=limits)
        return _Assigned(detector, begin, bounds.committed)

    async def forget(self) -> None:
        """Partitions are being taken away: say nothing more until it is known which are left.

        Returns when what is being said is said, so that the next owner hears of it.
        """
        self._generation = None
        self._drop_waiting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S), self._speaking:
                pass

    def take(self, fetched: Fetched, generation: int) -> None:
        """Queue a batch; never waits."""
        place = fetched.place
        assigned = self._assigned.get(place)
        if generation != self._generation or assigned is None or assigned.is_broken:
            return
        if assigned.end is None and (end := self._outside.log_end(place)) is not None:
            assigned.end = max(end, fetched.batch.end)
        self._waiting.append(fetched)
        self._waiting_bytes += _size(fetched)
        self._arrived.set()
        if self._waiting_bytes > _HOLD_BYTES and not self._is_holding:
            self._hold(hold=True)

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._is_holding:
            self._hold(hold=False)

    def _hold(self, *, hold: bool) -> None:
        self._is_holding = hold
        for place in self._assigned:
            self._outside.hold(place, hold)

    def loops(self) -> Sequence[Coroutine[None, None, None]]:
        """What has to run beside each other, until cancelled.

        They raise whatever ends the worker: Kafka cannot be reached, ClickHouse refuses rows for good.
        """
        return self._work(), self._outbox.store_forever(), self._explain()

    async def finish(self) -> None:
        """Say what is still waiting to come to rest, and store it; before the end of the worker."""
        await self._speak(everything=True)
        await self._outbox.store_rest()

    async def _work(self) -> None:
        speak_at = 0.0
        while True:
            await self._hear()
            if self._waiting:
                await self._work_off(self._waiting.popleft())
            else:
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), _TICK_S)
            if self._clock() >= speak_at:
                await self._speak()
                speak_at = self._clock() + _TICK_S

    async def _hear(self) -> None:
        """Learn what was said of newly assigned partitions, before anything is judged."""
        new = [assigned for assigned in self._assigned.values() if not assigned.has_heard]
        if not new:
            return
        with self._waiting_outside():
            heard = await self._outside.topic.heard()
            try:
                async with asyncio.timeout(_SAID_WITHIN_S):
                    stored = await self._outside.table.said()
            except (ClickHouseError, OSError) as error:  # a time-out too
                # Its rows only matter where Kafka has lost its own; and it will be written to once it is back.
                said = str(error) or f"no answer within {_SAID_WITHIN_S:g} s"
                log.warning("clickhouse does not say which incidents it knows", error=said)
                stored = Said({anomaly.anomaly_id: anomaly.revision for anomaly in heard}, [])
        for anomaly in (*heard, *stored.open):
            self._announcements.heard(anomaly)
        for name, revision in stored.revisions.items():
            self._announcements.heard_of(name, revision)
        self._outbox.store_later([a for a in heard if stored.revisions.get(a.anomaly_id, 0) < a.revision])
        for assigned in new:
            assigned.detector.continue_with(self._announcements.open_incidents())
            assigned.has_heard = True

    async def _work_off(self, fetched: Fetched) -> None:
        place = fetched.place
        self._waiting_bytes -= _size(fetched)
        if self._is_holding and self._waiting_bytes < _GO_ON_BYTES:
            self._hold(hold=False)
        assigned = self._assigned[place]
        offsets, values = fetched.batch.offsets.tolist(), fetched.batch.values
        for part in _slices(values):
            done = await self._serial.run(
                "detecting", partial(self._detect, place, assigned, offsets[part], values[part])
            )
            self.progress = self.progress._replace(
                partials=self.progress.partials + done.partials,
                refused_records=self.progress.refused_records + done.refused_records,
            )
            # While old records are read again, ingest gets as much of the processor.
            await asyncio.sleep(0 if assigned.has_caught_up else done.seconds)
            if self._assigned.get(place) is not assigned or assigned.is_broken:
                return
        await self._reached(place, assigned, fetched.batch.end)

    def _detect(
        self, place: Place, assigned: _Assigned, offsets: Sequence[int], values: Sequence[bytes | None]
    ) -> _Done:
        started = self._clock()
        done = _Done()
        with self._defects_contained(place, assigned):
            # Records that an earlier owner has judged, and those after them, not in one go.
            judged_to = assigned.judged_to
            first_new = len(offsets) if judged_to is None else sum(offset < judged_to for offset in offsets)
            self._take_records(assigned.detector, values[:first_new], done)
            if first_new < len(offsets):
                assigned.detector.begin()
                assigned.judged_to = None
                self._take_records(assigned.detector, values[first_new:], done)
        done.seconds = self._clock() - started
        return done

    def _take_records(self, detector: Detector, values: Iterable[bytes | None], done: _Done) -> None:
        tables = []
        for value in values:
            try:
                tables.append(self._decoder.decode(value or b""))
            except NotPartialsError as error:
                done.refused_records += 1
                log.warning("a record of the windows topic is left out", error=str(error))
        detector.take(tables)
        done.partials += sum(table.num_rows for table in tables)

    async def _reached(self, place: Place, assigned: _Assigned, position: int) -> None:
        had_caught_up = assigned.has_caught_up
        assigned.position = position
        if assigned.has_caught_up and not had_caught_up:
            await self._serial.run("beginning to judge", partial(self._begin_to_judge, place, assigned))

    def _begin_to_judge(self, place: Place, assigned: _Assigned) -> None:
        with self._defects_contained(place, assigned):
            assigned.detector.begin()
        log.info("detection has caught up", position=assigned.position, partials=len(assigned.detector))

    async def _speak(self, *, everything: bool = False) -> None:
        """Judge what changed and say what is due; then commit how far that was."""
        async with self._speaking:
            if self._generation is None:
                return
            ready = {place: assigned for place, assigned in self._assigned.items() if assigned.may_speak}
            now_s = self._clock()
            due = await self._serial.run("judging", partial(self._judge, ready, now_s, everything=everything))
            await self._say(due)
            _log(due)
            search_at = now_s + _EXAMPLES_AFTER_S
            self._to_explain.extend((search_at, 1, anomaly) for anomaly in due if anomaly.revision == 1)
            if everything or now_s >= self._commit_at:
                self._commit_at = now_s + _COMMIT_S
                await self._commit(
                    {p: assigned.position for p, assigned in ready.items() if assigned.may_speak}
                )
                self._warn_of_late_partials()

    def _judge(self, ready: Mapping[Place, _Assigned], now_s: float, *, everything: bool) -> list[Anomaly]:
        """What is to be said now."""
        if self._is_to_tell_again:
            self._is_to_tell_again = False
            self._announcements.forget_waiting()
            for assigned in list(self._assigned.values()):
                assigned.detector.tell_again()
        for place, assigned in ready.items():
            with self._defects_contained(place, assigned):
                for judged in assigned.detector.judged():
                    self._announcements.consider(judged, now_s)
        return self._announcements.due(now_s, everything=everything)

    @contextlib.contextmanager
    def _waiting_outside(self) -> Iterator[None]:
        """Kafka or ClickHouse has the next word; each of these waits has an end of its own."""
        self._waits_outside += 1
        try:
            yield
        finally:
            self._waits_outside -= 1

    @contextlib.contextmanager
    def _defects_contained(self, place: Place, assigned: _Assigned) -> Iterator[None]:
        """A defect in detection must not stop ingest, which a record that meets it would do again and again."""
        try:
            yield
        except Exception:
            assigned.is_broken = True
            topic, partition = place
            log.exception(
                "detection of a partition has ended until the worker starts again; ingest goes on",
                topic=topic,
                partition=partition,
                position=assigned.position,
                remedy="report this line; incidents of some services are not noticed any more",
            )

    @property
    def has_caught_up(self) -> bool:
        """Whether of every assigned partition all is read back that was there when it was assigned."""
        return all(
            found.is_broken or found.has_caught_up or self._is_at_the_end(place, found)
            for place, found in self._assigned.items()
        )

    def _is_at_the_end(self, place: Place, assigned: _Assigned) -> bool:
        """For a partition of which no record has come: there may be none."""
        end = self._outside.log_end(place)
        return assigned.end is None and end is not None and end <= assigned.position

    @property
    def broken_partitions(self) -> int:
        """Partitions whose detection a defect has ended."""
        return sum(found.is_broken for found in self._assigned.values())

    def positions(self) -> Mapping[Place, int]:
        """The next offset of each partition that is being worked off; none while the group assigns anew, or Kafka or ClickHouse
        is waited for.
        """
        if self._generation is None or self._waits_outside:
            return {}
        return {place: found.position for place, found in self._assigned.items() if not found.is_broken}

    async def _commit(self, positions: Mapping[Place, int]) -> None:
        new = {
            place: position for place, position in positions.items() if self._committed.get(place) != position
        }
        if new and await self._outside.commit(new):
            self._committed = dict(positions)

    async def _say(self, anomalies: Sequence[Anomaly]) -> None:
        with self._waiting_outside():
            await self._outbox.say(anomalies)
        self.progress = self.progress._replace(messages=self.progress.messages + len(anomalies))

    def _warn_of_late_partials(self) -> None:
        late = sum(assigned.detector.late_partials for assigned in self._assigned.values())
        if late > self._late_partials:
            log.warning(
                "partials came for minutes that detection had given up to save memory",
                partials=late - self._late_partials,
            )
        self._late_partials = late

    async def _explain(self) -> None:
        """Look for events that show new incidents, one incident after the other; best effort."""
        kinds = {rule.id: rule.examples for rule in self._rules}
        while True:
            if not self._to_explain or self._to_explain[0][0] > self._clock():
                await asyncio.sleep(_TICK_S)
                continue
            _, tries, anomaly = self._to_explain.popleft()
            try:
                event_ids = await self._outside.table.examples(anomaly, kinds[anomaly.rule])
            except (ClickHouseError, OSError) as error:
                log.debug("no examples of an incident", error=str(error))
                event_ids = []
            if event_ids:
                await self._give(anomaly, event_ids)
            elif tries < _EXAMPLES_TRIES:
                self._to_explain.append((self._clock() + _EXAMPLES_AFTER_S, tries + 1, anomaly))

    async def _give(self, anomaly: Anomaly, event_ids: Sequence[str]) -> None:
        async with self._speaking:
            if self._generation is None:
                return
            explained = self._announcements.give_examples(anomaly, event_ids)
            if explained is not None:
                await self._say([explained])


def _log(anomalies: Sequence[Anomaly]) -> None:
    for anomaly in anomalies[:_MOST_LINES]:
        log.info(
            "incident",
            state=anomaly.state,
            severity=anomaly.severity,
            rule=anomaly.rule,
            summary=anomaly.summary,
            anomaly_id=anomaly.anomaly_id,
            revision=anomaly.revision,
        )
    if len(anomalies) > _MOST_LINES:
        log.info("more incidents", messages=len(anomalies) - _MOST_LINES)


def _slices(values: Sequence[bytes | None]) -> Iterator[slice]:
    start = size = 0
    for place, value in enumerate(values):
        size += len(value or b"")
        if size > _SLICE_BYTES or place - start == _SLICE_RECORDS:
            yield slice(start, place)
            start, size = place, len(value or b"")
    yield slice(start, len(values))


def _size(fetched: Fetched) -> int:
    return sum(len(value) for value in fetched.batch.values if value is not None)
