"""The Faust app of a worker: which topics it consumes, how, and whom it hands batches to.

What is done with the batches is the worker's (`tokentide.stream.worker`), how they are fetched the transport's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import faust
from faust.types import TP

from tokentide.config import Settings
from tokentide.stream.assembly import new_consumer
from tokentide.stream.transport.micro_batch import LogBounds, MicroBatchTransport
from tokentide.stream.transport.turns import InTurns


class Reader(Protocol):
    """What the app calls."""

    async def plan_start(self, bounds: Mapping[TP, LogBounds], generation: int) -> Mapping[TP, int]:
        """Decide where each assigned partition begins."""

    async def consume(self, stream: Any) -> None:
        """Take every batch of the events topic."""

    async def consume_windows(self, stream: Any) -> None:
        """Take every batch of the windows topic."""

    async def revoked(self) -> None:
        """Partitions are being taken away."""


class _App(faust.App):
    """An app without tables, and so without anything to keep on disk, whose partitions take turns."""

    async def on_first_start(self) -> None:
        """Faust's own makes `<group>-data/v1/tables` in the working directory."""

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> InTurns:  # noqa: N802 - Faust's name
        """The queues between the consumer and the agents."""
        return InTurns(maxsize or 0, flow_control=self.flow_control, clear_on_resume=clear_on_resume)


def new_app(settings: Settings, reader: Reader) -> faust.App:
    """A Faust app that consumes the topics of its stages by micro-batches and produces nothing itself."""
    app = _App(
        settings.worker.group_id,
        broker="kafka://unused",  # the clients are made in `assembly`, with the settings' login
        autodiscover=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=1,  # fetches: one waits while another is worked off
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_session_timeout=settings.worker.session_timeout_seconds,
        broker_heartbeat_interval=settings.worker.heartbeat_seconds,
    )
    app.boot_strategy = faust.app.base.BootStrategy(app, enable_web=False, enable_kafka_producer=False)
    transport = MicroBatchTransport(url=[], app=app)
    transport.new_consumer = lambda: new_consumer(settings, settings.worker.group_id)
    transport.plan_start = reader.plan_start
    app.transport = transport
    # All topics are declared before the start: a change of the set costs a long pause.
    if "ingest" in settings.worker.stages:

        @app.agent(_raw_topic(app, settings.topics.events), name="ingest")
        async def ingest(stream: Any) -> None:
            await reader.consume(stream)

    if "detect" in settings.worker.stages:

        @app.agent(_raw_topic(app, settings.topics.windows), name="detect")
        async def detect(stream: Any) -> None:
            await reader.consume_windows(stream)

    async def revoked(*_: Any, **__: Any) -> None:
        await reader.revoked()

    app.on_partitions_revoked.connect(revoked)
    return app


def _raw_topic(app: faust.App, name: str) -> Any:
    return app.topic(
        name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes, acks=False
    )
