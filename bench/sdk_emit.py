"""What one `emit` costs the application: microseconds in its thread, for an event of about 600 bytes.

    python -m bench.sdk_emit                      # against an embedded broker, where it is installed
    python -m bench.sdk_emit --broker HOST:PORT   # against any other; the topic is made by the broker or you
    python -m bench.sdk_emit --broker memory      # without any

Before anything is timed, the same events are sent and read back: as many have to arrive as were sent, each
once. Then, per event, as the median of several rounds with minimum and maximum:

- CPU of the caller's thread, emitting without pause: what `emit` itself costs;
- wall time of the same: the sender's thread competes for the interpreter, which at such a rate it rarely does;
- CPU of the whole process until all is acknowledged: what runs in the background is paid for, too;
- wall time of single calls at 500 a second, median of a round: caches are cold after each pause, so beside it
  stands what `json.dumps` of the same event takes at that pace.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure
from bench.machine import describe
from tokentide import MemoryTransport, Producer, ProducerOptions

TOPIC = "llm.events"
EVENT = {
    "environment": "production", "region": "eu-west-1", "tenant": "acme", "feature": "support",
    "user_id": "u-2d1f8e7a", "request_id": "req-0123456789abcdef", "conversation_id": "conv-778899", "turn": 3,
    "trace_id": "0af7651916cd43dd8448eb211c80319c", "operation": "chat", "provider": "openai",
    "request_model": "gpt-4o", "response_model": "gpt-4o-2024-08-06", "stream": True, "finish_reasons": ["stop"],
    "prompt_name": "support-answer", "prompt_version": "12", "input_tokens": 1469, "output_tokens": 213,
    "cache_read_input_tokens": 1024, "status": "ok", "duration_ms": 1834.22, "time_to_first_chunk_ms": 321.5,
    "stages": {"context_ms": 12.5, "model_ms": 1800.0}, "context": {"hit": True},
}  # fmt: skip


def new_producer(address: str, folder: Path) -> Producer:
    options = ProducerOptions(queue_max_events=200_000, queue_max_bytes=2**28, spool_folder=folder)
    if address == "memory":
        return Producer(service="bench", transport=MemoryTransport(), options=options)
    return Producer(address, service="bench", options=options)


def received(address: str, producer: Producer) -> list[str]:
    """The ids of all events that are stored."""
    if address == "memory":
        transport = producer._engine._transport  # noqa: SLF001
        assert isinstance(transport, MemoryTransport)
        return [str(event["event_id"]) for event in transport.events]
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        TOPIC, bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=3000
    )
    events = [json.loads(record.value) for record in consumer]
    consumer.close()
    return [
        event["event_id"] for found in events for event in (found if isinstance(found, list) else [found])
    ]


def check(address: str, folder: Path, events: int) -> None:
    with new_producer(address, folder) as producer:
        before = received(address, producer)
        for number in range(events):
            producer.emit({**EVENT, "input_tokens": number + 1024})
        assert producer.flush(60), producer.stats()
        ids = received(address, producer)[len(before) :]
    assert len(ids) == events, f"{len(ids)} events arrived of {events}"
    assert len(set(ids)) == events, "events arrived twice"


def at_full_speed(producer: Producer, events: int) -> tuple[float, float, float]:
    """CPU of this thread, wall, and CPU of the whole process until all is delivered; µs per event."""
    wall, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
    for _ in range(events):
        producer.emit(EVENT)
    wall, thread = time.perf_counter() - wall, time.thread_time() - thread
    assert producer.flush(60)
    process = time.process_time() - process
    per_event = 1e6 / events
    return thread * per_event, wall * per_event, process * per_event


def at_a_pace(work: Callable[[dict[str, object]], object], events: int, per_s: float) -> float:
    """Median wall time of a call, µs."""
    took = []
    for _ in range(events):
        time.sleep(1 / per_s)
        began = time.perf_counter()
        work(EVENT)
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


@contextmanager
def broker(chosen: str | None) -> Iterator[str]:
    if chosen is not None:
        yield chosen
        return
    try:
        from tokentide.embedded.broker import EmbeddedBroker
    except ModuleNotFoundError:
        print("the embedded broker is not installed; measuring without one", file=sys.stderr)
        yield "memory"
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(log_file=Path(folder) / "log") as server:
        yield server.bootstrap_servers


LARGE = {
    "1 MB text": "the quick brown fox jumps over "[:25] * 40_000,
    "5 MB text": "the quick brown fox jumps over "[:25] * 200_000,
    "5 MB in 2,500 messages": [
        {"role": "user", "content": "the quick brown fox jumps"[:25] * 80} for _ in range(2_500)
    ],
}
"""The first still fits into a record; the others are left out of their event."""


def of_large_inputs(producer: Producer, runs: int) -> list[Figure]:
    """CPU of the caller's thread for one `emit` with a large `input`, the median of ten."""
    return [
        Figure(f"emit, CPU of the caller, {name}", "µs", [_median_cpu(producer, text) for _ in range(runs)])
        for name, text in LARGE.items()
    ]


def _median_cpu(producer: Producer, text: object) -> float:
    took = []
    for _ in range(10):
        began = time.thread_time()
        producer.emit({**EVENT, "input": text})
        took.append((time.thread_time() - began) * 1e6)
    assert producer.flush(60)
    return statistics.median(took)


def emit(*, runs: int = 7, events: int = 10_000, address: str | None = None) -> list[Figure]:
    """Check, then measure."""
    with broker(address) as where, tempfile.TemporaryDirectory() as folder:
        check(where, Path(folder), 5000)
        with new_producer(where, Path(folder)) as producer:
            at_full_speed(producer, 2000)  # warm
            fast = [at_full_speed(producer, events) for _ in range(runs)]
            paced = [at_a_pace(producer.emit, 500, 500) for _ in range(runs)]
            cold_json = [at_a_pace(json.dumps, 500, 500) for _ in range(runs)]
            size = len(producer._encoder.encode(EVENT).value)  # noqa: SLF001
            large = of_large_inputs(producer, runs)
            stats = producer.stats()
    assert stats.dropped == {}, stats
    return [
        Figure(f"emit, CPU of the caller ({size}-byte events)", "µs", [cpu for cpu, _, _ in fast]),
        Figure("emit, wall, without pause", "µs", [wall for _, wall, _ in fast]),
        Figure("emit, CPU of the process until acknowledged", "µs", [cpu for _, _, cpu in fast]),
        Figure("emit, wall, 500 a second", "µs", paced),
        Figure("json.dumps of the event, wall, 500 a second", "µs", cold_json),
        *large,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sdk_emit", description="What one emit costs.")
    parser.add_argument("--broker", help="HOST:PORT, or memory; an embedded one by default")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--events", type=int, default=10_000, help="per run")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = emit(runs=chosen.runs, events=chosen.events, address=chosen.broker)
    if chosen.json:
        print(json.dumps({"machine": describe(), "figures": [figure.record() for figure in figures]}))
    else:
        print(f"machine: {describe()}")
        print("\n".join(figure.line() for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
