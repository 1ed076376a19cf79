"""Asking Kafka again after errors that pass: a coordinator or leader that moves, a broker that starts, a broken connection.

What passes is what kafka-python marks as retriable, but for a topic that is not there, and what our own error says of itself
(`CliError.may_pass`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain, count
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from tokentide.cli.exits import CliError
from tokentide.cli.kafka_access import admin_client, kafka_errors, may_pass

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

    from tokentide.cli.lag import OffsetSource
    from tokentide.config import KafkaSettings

T = TypeVar("T")

PATIENCE_S: Final = 5.0
"""How long a command without a time-out of its own asks again: a coordinator moves in less."""
_PAUSE_S: Final = 0.25


def patiently(
    ask: Callable[[], T],
    *,
    within_s: float | None = None,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], None] | None = None,
) -> T:
    """The answer, asked for again after each error that passes.

    Args:
        ask: asks once; by a new client where the old one would go on with what it remembers.
        within_s: no further try begins after it; `PATIENCE_S` by default.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.

    Raises:
        Whatever `ask` raises, where it does not pass or time is over.
    """
    clock, sleep = clock or time.monotonic, sleep or time.sleep
    until = clock() + (PATIENCE_S if within_s is None else within_s)
    while True:
        try:
            return ask()
        except Exception as error:
            if not may_pass(error) or clock() + _PAUSE_S > until:
                raise
        sleep(_PAUSE_S)


def asked_by_new_clients(
    kafka: KafkaSettings, first: KafkaAdminClient, ask: Callable[[KafkaAdminClient], T]
) -> T:
    """The same for what a group's coordinator is asked: a client keeps to the one that it has found once, a new one looks again.

    Args:
        kafka: for the new clients.
        first: asked first; stays open.
        ask: asks once.
    """
    clients: Iterator[AbstractContextManager[KafkaAdminClient]] = chain(
        [nullcontext(first)], (admin_client(kafka) for _ in count())
    )

    def once() -> T:
        with next(clients) as client:
            return ask(client)

    return patiently(once)


class PatientOffsets:
    """An `OffsetSource` for a command with a time-out of its own; through what passes it is opened anew and asked again.

    Opened anew, because the client remembers the coordinator of a group for as long as it lives. Use it as a context manager.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[OffsetSource]],
        kafka: KafkaSettings,
        *,
        within_s: float,
        told: Callable[[CliError], None],
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            opened: a new connection.
            kafka: for messages.
            within_s: from now on, no further try begins after it.
            told: called with the first error that passes, once.
            clock: seconds, monotonic.
            sleep: waits for so many seconds.
        """
        self._opened = opened
        self._kafka = kafka
        self._told = told
        self._clock, self._sleep = clock or time.monotonic, sleep or time.sleep
        self._until = self._clock() + within_s
        self._has_told = False
        self._stack = ExitStack()
        self._source: OffsetSource | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def bounds(self) -> Mapping[int, tuple[int, int]]:
        """See `OffsetSource`.

        Raises:
            CliError: it does not pass, or time is over; so do the others.
        """
        return self._answer(lambda source: source.bounds())

    def committed(self) -> Mapping[int, int]:
        """See `OffsetSource`."""
        return self._answer(lambda source: source.committed())

    def has_records(self, partition: int, begin: int, end: int) -> bool:
        """See `OffsetSource`."""
        return self._answer(lambda source: source.has_records(partition, begin, end))

    def _answer(self, question: Callable[[OffsetSource], T]) -> T:
        within_s = max(0.0, self._until - self._clock())
        return patiently(
            lambda: self._once(question), within_s=within_s, clock=self._clock, sleep=self._sleep
        )

    def _once(self, question: Callable[[OffsetSource], T]) -> T:
        try:
            with kafka_errors(self._kafka):
                if self._source is None:
                    self._source = self._stack.enter_context(self._opened())
                return question(self._source)
        except CliError as error:
            self._close()
            if may_pass(error) and not self._has_told and self._clock() + _PAUSE_S <= self._until:
                self._has_told = True
                self._told(error)
            raise

    def _close(self) -> None:
        self._source = None
        self._stack.close()
