"""What one `emit` costs the application: microseconds in its thread, for an event of about 600 bytes.

    python bench/sdk_emit.py                      # against an embedded broker, where it is installed
    python bench/sdk_emit.py --broker HOST:PORT   # against any other; the topic is made by the broker or you
    python bench/sdk_emit.py --broker memory      # without any

Three figures, each the median of several rounds with minimum and maximum: the CPU time of the caller's thread
when it emits without pause, the wall time of the same (the sender's thread then competes for the interpreter), and
the wall time of single calls at a steady pace. Before anything is timed, the same events are sent and read
back: as many have to arrive as were sent, each once. The process's whole CPU per event is given as well, since
what runs in the background is paid for, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokentide import MemoryTransport, Producer, ProducerOptions, __version__

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
        return [str(event["event_id"]) for event in producer._engine._transport.events]  # noqa: SLF001
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
    return tuple(seconds / events * 1e6 for seconds in (thread, wall, process))


def at_a_pace(producer: Producer, events: int, per_s: float) -> list[float]:
    """Wall time of each call, µs."""
    took = []
    for _ in range(events):
        time.sleep(1 / per_s)
        began = time.perf_counter()
        producer.emit(EVENT)
        took.append((time.perf_counter() - began) * 1e6)
    return took


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
    }


def machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} × {model}, {platform.system()}, Python {platform.python_version()}"


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


def main() -> int:
    parser = argparse.ArgumentParser(description="What one emit costs the application.")
    parser.add_argument("--broker", help="HOST:PORT, or memory; an embedded one by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", type=int, default=10_000, help="per round")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with broker(chosen.broker) as address, tempfile.TemporaryDirectory() as folder:
        check(address, Path(folder), 5000)
        with new_producer(address, Path(folder)) as producer:
            at_full_speed(producer, 2000)  # warm
            fast = [at_full_speed(producer, chosen.events) for _ in range(chosen.rounds)]
            paced = sorted(at_a_pace(producer, 2000, 500))
            sizes = len(producer._encoder.encode(EVENT).value)  # noqa: SLF001
            stats = producer.stats()
    assert stats.dropped == {}, stats
    report = {
        "tokentide": __version__,
        "machine": machine(),
        "broker": "memory" if address == "memory" else "kafka protocol, same machine",
        "event_bytes": sizes,
        "rounds": chosen.rounds,
        "events_per_round": chosen.events,
        "emit_cpu_us": spread([thread for thread, _, _ in fast]),
        "emit_wall_us_at_full_speed": spread([wall for _, wall, _ in fast]),
        "process_cpu_us": spread([process for _, _, process in fast]),
        "emit_wall_us_at_500_per_s": {**spread(paced), "p99": round(paced[int(len(paced) * 0.99)], 1)},
        "checked": "5000 of 5000 events arrived, each once",
    }
    if chosen.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:28} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
