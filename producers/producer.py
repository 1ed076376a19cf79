"""`Producer`: what applications use to send one event per call of a model. See docs/sdk.md.

    producer = Producer("broker-1:9092", service="support-chat", environment="production")

    with producer.call(provider="openai", model="gpt-4o", conversation_id=chat.id, turn=3) as call:
        with call.stage("context"):
            history = load(chat)
        response = client.chat.completions.create(...)
        call.openai_usage(response)

Nothing here blocks or raises into the application once the producer is made: events that cannot be sent
are dropped, counted by reason (`stats`) and logged once a minute (logger `tokentide`).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar

from tokentide.producers.call import Call, observed
from tokentide.producers.clock import SYSTEM_CLOCK, Clock
from tokentide.producers.contract_names import EVENT_FIELDS, Misnomer, misnamed, misnomers
from tokentide.producers.counts import Drop, ProducerStats, log
from tokentide.producers.engine import Engine
from tokentide.producers.environment import is_disabled, read_environment
from tokentide.producers.errors import EventError
from tokentide.producers.event_encoder import EventEncoder
from tokentide.producers.inspector import contract_problem
from tokentide.producers.kafka_transport import ClientArguments, KafkaTransport
from tokentide.producers.options import ProducerOptions
from tokentide.producers.spool_folder import spool_folder
from tokentide.producers.transport import Transport

if TYPE_CHECKING:
    from tokentide.config import KafkaSettings
    from tokentide.schemas.call import CallEvent
    from tokentide.schemas.evaluation import EvaluationEvent

P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_SERVERS: Final = ("127.0.0.1:9092",)
DEFAULT_TOPIC: Final = "llm.events"
MOST_NAMED: Final = 3
"""Addresses in one log line."""
NO_SERVICE: Final = (
    "this producer has no service, so events that do not carry one themselves are dropped: "
    "pass service=..., or set TOKENTIDE_SERVICE and use Producer.from_env()"
)


class Producer:
    """Sends events to Kafka in the background. Make one per process and share it between threads.

    No thread runs and no connection is made before the first event. Forked children (gunicorn,
    multiprocessing) begin afresh with their copy. Close it last, or let the end of the process do it.

    Args:
        bootstrap_servers: brokers to ask first, `host:port`, as one text with commas or as a list.
        service: the application or component, for events that do not name one; without it, here or in
            `defaults`, such events are dropped, which the log says at once.
        environment: such as `production`, likewise.
        region: where the application runs, likewise.
        labels: up to 16 short pairs that every event carries.
        defaults: other fields of every event that does not have them, such as `deployment`.
        topic: where the events go.
        kafka: addresses, TLS and SASL as `tokentide.config.KafkaSettings`; `bootstrap_servers` wins.
        options: bounds and times.
        strict: for tests: `emit` checks each event against the whole contract and raises `EventError`.
        disabled: True sends nothing at all; None: as the variable `TOKENTIDE_DISABLED` says.
        transport: another way than Kafka, such as `MemoryTransport` in tests; then there is a spool only
            where `options.spool_folder` is set.
        clock: where times come from; for tests.

    Raises:
        ValueError: an address cannot be used.
        TypeError: an argument is of the wrong kind.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        labels: Mapping[str, str] | None = None,
        defaults: Mapping[str, object] | None = None,
        topic: str = DEFAULT_TOPIC,
        kafka: KafkaSettings | None = None,
        options: ProducerOptions | None = None,
        strict: bool = False,
        disabled: bool | None = None,
        transport: Transport | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        _check_kinds(options, defaults, labels)
        self._options = options or ProducerOptions()
        self._servers = _addresses(bootstrap_servers, kafka)
        self._topic = topic
        self._strict = strict
        self._clock = clock
        self._is_disabled = is_disabled(os.environ) if disabled is None else disabled
        own = {"service": service, "environment": environment, "region": region}
        known = {**(defaults or {}), **{name: value for name, value in own.items() if value}}
        if not known.get("service") and not self._is_disabled:
            log.warning("%s", NO_SERVICE)
        self._encoder = EventEncoder(
            known,
            labels or {},
            time_ns=clock.time_ns,
            max_bytes=self._options.event_max_bytes,
        )
        self._engine = Engine(
            transport=transport or self._kafka_transport(kafka),
            folder=None
            if transport and self._options.spool_folder is None
            else partial(
                spool_folder, self._options.spool_folder, topic=topic, bootstrap_servers=self._servers
            ),
            place="" if transport else _place(self._servers),
            options=self._options,
            clock=clock,
        )
        # A producer that is dropped without being closed still sends what it was given.
        weakref.finalize(self, self._engine.retire).atexit = False

    @classmethod
    def from_env(
        cls,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        labels: Mapping[str, str] | None = None,
        defaults: Mapping[str, object] | None = None,
        options: ProducerOptions | None = None,
        strict: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Make a producer from the environment: `TOKENTIDE_*`, and OpenTelemetry's for the names.

        `TOKENTIDE_KAFKA_*` says where and how to connect, `TOKENTIDE_TOPICS_PREFIX` names the topic,
        `TOKENTIDE_SPOOL_*` the spool, `TOKENTIDE_DISABLED=1` switches all off. `TOKENTIDE_SERVICE`,
        `TOKENTIDE_ENVIRONMENT` and `TOKENTIDE_REGION`, else `OTEL_SERVICE_NAME` and
        `OTEL_RESOURCE_ATTRIBUTES`, name the application. Arguments go before variables.

        Raises:
            tokentide.errors.SettingsError: a variable is misspelt or its value cannot be used.
        """
        found = read_environment(os.environ if environ is None else environ)
        chosen = options or ProducerOptions(
            spool_folder=found.spool_folder, spool_max_bytes=found.spool_max_bytes
        )
        return cls(
            kafka=found.kafka,
            topic=found.topic,
            service=service or found.service,
            environment=environment or found.environment,
            region=region or found.region,
            labels=labels,
            defaults=defaults,
            options=chosen,
            strict=strict,
            disabled=found.is_disabled,
        )

    def emit(self, event: Mapping[str, object] | CallEvent | EvaluationEvent) -> None:
        """Send one event, later and from another thread; returns in microseconds.

        What is missing of `event_id`, `timestamp` and the producer's own fields is filled in. The event
        is written out at once: changing the dictionary afterwards has no effect on what is sent.

        Events of the types `request`, `response`, `error` and `evaluation` need a `request_id`; those of one
        `request_id` go to one partition, in the order in which they are emitted.

        Raises:
            EventError: only with `strict=True`: the event breaks the contract, or has a field that it does not know.
        """
        if self._is_disabled:
            return
        try:
            value, mended = self._encoder.encode(event)
        except Exception as error:  # noqa: BLE001 - whatever the application's objects do, it does not notice
            self._refuse(error)
            return
        if mended is not None:
            self._engine.counts.mend(mended)
        if self._strict:
            _insist(value)
        self._engine.put(value)

    def call(
        self,
        *,
        model: str | None = None,
        provider: str | None = None,
        service: str | None = None,
        prompt_name: str | None = None,
        conversation_id: str | None = None,
        turn: int | None = None,
        **fields: object,
    ) -> Call:
        """Return the context manager of one call of a model: `with producer.call(model=…) as call:`.

        `model` is the event's `request_model`; further keywords are fields of the contract.

        Raises:
            EventError: only with `strict=True`: the contract has no field of a keyword's name.
        """
        self._look_at(fields)
        named = {
            "request_model": model,
            "provider": provider,
            "service": service,
            "prompt_name": prompt_name,
            "conversation_id": conversation_id,
            "turn": turn,
            **fields,
        }
        return Call(self, {name: value for name, value in named.items() if value is not None})

    def observed(
        self, *, model: str | None = None, provider: str | None = None, **fields: object
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that makes each invocation of a function a call; works on coroutines too.

        Inside, `tokentide.current_call()` is the call, to report usage and stages to.

        Raises:
            EventError: as `call`.
        """
        self._look_at(fields)
        named = {"request_model": model, "provider": provider, **fields}
        known = {name: value for name, value in named.items() if value is not None}
        return observed(lambda: Call(self, dict(known)))

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until Kafka has acknowledged what was emitted before, and what was in the spool.

        Returns False when the time was not enough: nothing is lost then, sending goes on.
        """
        return self._engine.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Send what is there within the time, put the rest into the spool, and stop.

        Returns whether Kafka has everything. Later events are dropped and counted.
        """
        return self._engine.close(self._options.close_timeout_s if timeout_s is None else timeout_s)

    def stats(self) -> ProducerStats:
        """Return what became of the events so far."""
        return self._engine.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " (disabled)" if self._is_disabled else ""
        return f"<{type(self).__name__} to {self._topic} at {', '.join(self._servers)}{state}>"

    # what a Call needs

    @property
    def clock(self) -> Clock:
        """Where times come from."""
        return self._clock

    @property
    def records_error_messages(self) -> bool:
        """Whether the text of exceptions is sent."""
        return self._options.error_messages

    def note_mistake(self, text: str) -> None:
        """Count and log a mistake in the use of a call.

        Raises:
            EventError: only with `strict=True`.
        """
        if self._is_disabled:
            return
        self._engine.counts.mend(text)
        if self._strict:
            raise EventError("", text)

    def note_misnomers(self, found: Sequence[Misnomer]) -> None:
        """Log names that the contract does not have, each once.

        Raises:
            EventError: only with `strict=True`.
        """
        if self._is_disabled:
            return
        for field, problem in found:
            if self._strict:
                raise EventError(field, problem)
            self._engine.counts.unknown(field, problem)

    def _look_at(self, keywords: Mapping[str, object]) -> None:
        if not EVENT_FIELDS.issuperset(keywords):
            self.note_misnomers(misnamed(keywords, is_call=True))

    def _refuse(self, error: Exception) -> None:
        if not isinstance(error, EventError):
            error = EventError("", f"cannot be read ({type(error).__name__})")
        self._engine.counts.drop(Drop.INVALID, detail=str(error))
        if self._strict:
            raise error

    def _kafka_transport(self, kafka: KafkaSettings | None) -> KafkaTransport:
        return KafkaTransport(
            partial(_client_arguments, self._servers, kafka),
            topic=self._topic,
            compression=self._options.compression,
            delivery_timeout_s=self._options.delivery_timeout_s,
            monotonic=self._clock.monotonic,
            logs=self._options.kafka_logs,
        )


class NullProducer(Producer):
    """A producer that sends nothing: for code that always wants one."""

    def __init__(self) -> None:
        super().__init__(disabled=True)


def _check_kinds(options: object, defaults: object, labels: object) -> None:
    """Say at construction what would otherwise come out as a riddle, there or at the first event."""
    if options is not None and not isinstance(options, ProducerOptions):
        raise TypeError(f"options is {_kind(options)}; must be ProducerOptions(...)")
    for name, value in (("defaults", defaults), ("labels", labels)):
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"{name} is {_kind(value)}; must be a dictionary")


def _kind(value: object) -> str:
    return f"of the kind {type(value).__name__}"


def _insist(event: bytes) -> None:
    """Raise what there is to be said against an encoded event."""
    for field, problem in misnomers(event):
        raise EventError(field, problem)
    if refusal := contract_problem(event):
        raise EventError("", refusal)


def _addresses(given: str | Sequence[str] | None, kafka: KafkaSettings | None) -> tuple[str, ...]:
    if given is None:
        return kafka.bootstrap_servers if kafka else DEFAULT_SERVERS
    if not isinstance(given, str | Sequence) or not all(isinstance(part, str) for part in given):
        raise TypeError(f"bootstrap_servers is {_kind(given)}; must be text, host:port, or a list of such")
    parts = given.split(",") if isinstance(given, str) else given
    servers = tuple(part.strip() for part in parts if part.strip())
    if not servers:
        raise ValueError("bootstrap_servers names no broker; it is host:port, several with commas")
    for number, server in enumerate(servers, 1):
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit() or "/" in server or "@" in server:
            # The entry is not repeated: some write a password into it.
            raise ValueError(f"bootstrap_servers, entry {number}: is not host:port, such as broker-1:9092")
    return servers


def _place(servers: Sequence[str]) -> str:
    """The addresses for the log, without what somebody may have written before an `@`."""
    named = ", ".join(server.rpartition("@")[2] for server in servers[:MOST_NAMED])
    more = len(servers) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _client_arguments(servers: tuple[str, ...], kafka: KafkaSettings | None) -> ClientArguments:
    if kafka is None:
        return {"bootstrap_servers": list(servers), "client_id": "tokentide"}
    from tokentide.config import client_arguments  # noqa: PLC0415 - only where there are settings

    return {**client_arguments(kafka), "bootstrap_servers": list(servers)}
