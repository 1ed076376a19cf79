"""What the worker sends to Kafka: dead letters and window partials, each acknowledged by all replicas."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import pyarrow as pa
from kafka import KafkaProducer

from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.grouping import combinations
from tokentide.stream.letters import letter_key

PARTIALS_PER_RECORD: Final = 500
RECORD_BYTES: Final = 700_000
"""Well below the topic's limit. A partial has a hundred numbers and up to a dozen sketches: one with all of them full takes
10 KB, a usual one 1 KB."""


class KafkaOut:
    """An idempotent producer for what the worker publishes; kafka-python's, in a thread of its own.

    (aiokafka's idempotent producer asks for its id in a form that the embedded broker does not answer.)
    """

    def __init__(
        self, connect: Callable[[], KafkaProducer], *, rejected_topic: str, windows_topic: str
    ) -> None:
        self._connect = connect
        self._producer: KafkaProducer | None = None
        self._rejected_topic = rejected_topic
        self._windows_topic = windows_topic
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-out")
        self.partials_sent = 0
        """Since the start; acknowledged ones."""
        self.sending = 0
        """What was asked to be sent and is not acknowledged yet."""
        self.acknowledged = 0
        """Records, since the start."""

    async def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters; return when all are acknowledged.

        Raises:
            kafka.errors.KafkaError: not sent, or unknown whether; send them again.
        """
        if letters:
            await self._in_thread(lambda: self._send_letters(letters))

    async def send_partials(self, partials: pa.Table) -> None:
        """Send window partials, many a record; all partials of a service go to one partition.

        Raises:
            kafka.errors.KafkaError: not sent, or unknown whether; send them again.
        """
        if partials.num_rows:
            await self._in_thread(lambda: self._send_partials(partials))
            self.partials_sent += partials.num_rows

    async def close(self) -> None:
        """Send what is left and close the connection."""
        if self._producer is not None:
            await self._in_thread(self._producer.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        self.sending += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.sending -= 1

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = self._connect()
        return self._producer

    def _send_letters(self, letters: Sequence[DeadLetter]) -> None:
        producer = self._connected()
        sent = [
            producer.send(self._rejected_topic, letter.model_dump_json().encode(), key=letter_key(letter))
            for letter in letters
        ]
        self._await(sent)

    def _await(self, sent: Iterable[Any]) -> None:
        for future in sent:
            future.get()
            self.acknowledged += 1

    def _send_partials(self, partials: pa.Table) -> None:
        producer = self._connected()
        partitions = sorted(producer.partitions_for(self._windows_topic))
        sent = [
            producer.send(self._windows_topic, value, partition=partition)
            for partition, value in packed(partials, partitions)
        ]
        self._await(sent)


def packed(partials: pa.Table, partitions: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield target partition and value of each record: Arrow's streaming format, rows of `WINDOW_ROWS`.

    The partition follows from environment and service, so that a rule can sum over the series of a service.
    """
    groups, texts = combinations(partials, ("environment", "service"))
    target = np.array([partitions[zlib.crc32("\0".join(text).encode()) % len(partitions)] for text in texts])
    of_row = target[groups.of_row]
    for partition in np.unique(of_row).tolist():
        rows = partials.take(pa.array(np.flatnonzero(of_row == partition)))
        for start in range(0, rows.num_rows, PARTIALS_PER_RECORD):
            for value in _small_enough(rows.slice(start, PARTIALS_PER_RECORD)):
                yield partition, value


def _small_enough(rows: pa.Table) -> Iterator[bytes]:
    """The rows in as many values as the record limit asks for."""
    value = encode_partials(rows)
    if len(value) <= RECORD_BYTES or rows.num_rows == 1:
        yield value
        return
    middle = rows.num_rows // 2
    yield from _small_enough(rows.slice(0, middle))
    yield from _small_enough(rows.slice(middle))


def encode_partials(rows: pa.Table) -> bytes:
    """One record's value."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def decode_partials(value: bytes) -> pa.Table:
    """Rows of `WINDOW_ROWS` from a record's value.

    Raises:
        pyarrow.ArrowInvalid: it is no such record.
    """
    return pa.ipc.open_stream(value).read_all()
