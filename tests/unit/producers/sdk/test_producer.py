from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.waiting import HANGING_S
from tokentide import EventError, MemoryTransport, NullProducer, Producer, ProducerOptions
from tokentide.config import KafkaSettings, SettingsError
from tokentide.producers.producer import _place
from tokentide.schemas.call import CallEvent


@pytest.fixture
def broker() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def threads() -> Callable[[], list[threading.Thread]]:
    """The product's threads that were not there before the test."""
    others = set(threading.enumerate())
    return lambda: [
        thread
        for thread in threading.enumerate()
        if thread not in others and thread.name.startswith("tokentide")
    ]


def test_events_arrive_with_what_the_producer_knows(broker):
    with Producer(
        service="shop",
        environment="production",
        region="eu",
        labels={"team": "a"},
        defaults={"deployment": "v42"},
        transport=broker,
        strict=True,
    ) as producer:
        producer.emit({"request_model": "gpt-4o", "input_tokens": 12})
        assert producer.flush(HANGING_S)
    (event,) = broker.events
    CallEvent.model_validate(event)
    assert event.items() >= {
        "service": "shop", "environment": "production", "region": "eu", "deployment": "v42",
        "request_model": "gpt-4o", "input_tokens": 12,
    }.items()  # fmt: skip
    assert event["labels"] == {"team": "a"}


def test_no_thread_runs_before_the_first_event_and_none_after_closing(broker, threads):
    producer = Producer(service="s", transport=broker)
    assert threads() == []
    assert producer.flush(0)
    producer.emit({})
    assert [thread.name for thread in threads()] == ["tokentide-sender"]
    assert producer.close()
    assert threads() == []


def test_closing_a_producer_that_was_not_used_does_nothing(broker):
    producer = Producer(service="s", transport=broker)
    assert producer.close()
    assert not broker.is_closed


def test_closing_sends_what_is_there_and_disconnects(broker):
    producer = Producer(service="s", transport=broker)
    for number in range(120):
        producer.emit({"input_tokens": number})
    assert producer.close()
    assert [event["input_tokens"] for event in broker.events] == list(range(120))
    assert broker.is_closed


def test_events_after_closing_are_counted(broker, caplog):
    producer = Producer(service="s", transport=broker)
    producer.close()
    producer.emit({})
    assert producer.stats().dropped == {"closed": 1}
    assert "close the producer last" in caplog.text


def test_closing_twice_is_closing_once(broker):
    producer = Producer(service="s", transport=broker)
    producer.emit({})
    assert producer.close()
    assert producer.close()


@pytest.mark.parametrize("event", [None, 5, "text", [], object(), {"user_id": object()}, {"service": ""}])
def test_a_bad_event_never_raises_and_is_counted(broker, event, caplog):
    with Producer(service="s", transport=broker) as producer:
        producer.emit(event)
        assert producer.stats().dropped == {"invalid": 1}
        assert producer.stats().emitted == 1
    assert len(caplog.messages) == 1


def test_an_object_that_raises_anything_does_not_disturb(broker):
    class Rude(dict):
        def keys(self):
            raise SystemError("rude")

    with Producer(service="s", transport=broker) as producer:
        producer.emit({"labels": Rude(a=1), "context": Rude()})
        producer.emit({"input_tokens": 1})
        assert producer.flush(HANGING_S)
    assert broker.events[-1]["input_tokens"] == 1


def test_the_log_names_the_field_and_never_the_value(broker, caplog):
    class Secret:
        def __repr__(self) -> str:
            return "sk-canary"

    with Producer(service="s", transport=broker) as producer:
        producer.emit({"user_id": Secret(), "input": "prompt-canary"})
        producer.emit({"quality": {"score": float("nan")}, "input": "prompt-canary"})
    assert "user_id: holds a Secret" in caplog.text
    assert "canary" not in caplog.text


def test_strict_mode_raises_what_the_contract_says(broker):
    producer = Producer(service="s", transport=broker, strict=True)
    with pytest.raises(EventError, match="input_tokens: is the number -1; must be at least 0"):
        producer.emit({"input_tokens": -1})
    with pytest.raises(EventError, match="service: is required"):
        Producer(transport=broker, strict=True).emit({})
    assert broker.events == []


def test_a_flush_that_is_not_done_in_time_says_so(broker):
    broker.holds_acks = True
    producer = Producer(service="s", transport=broker)
    producer.emit({})
    assert not producer.flush(0.05)
    broker.holds_acks = False
    broker.acknowledge()
    assert producer.flush(HANGING_S)
    producer.close()


def test_a_full_queue_drops_the_newest_and_counts_them_exactly(broker):
    broker.holds_acks = True
    options = ProducerOptions(queue_max_events=10, in_flight_max_bytes=1, linger_ms=0)
    producer = Producer(service="s", transport=broker, options=options)
    for number in range(100):
        producer.emit({"input_tokens": number})
    broker.holds_acks = False
    broker.acknowledge()
    assert producer.flush(HANGING_S)
    stats = producer.stats()
    assert stats.delivered + stats.dropped["queue_full"] == stats.emitted == 100
    assert len(broker.events) == stats.delivered
    assert stats.dropped["queue_full"] >= 30
    producer.close()


def test_a_tool_may_wait_for_room_instead(broker):
    options = ProducerOptions(queue_max_events=10, when_full="wait", linger_ms=0)
    with Producer(service="s", transport=broker, options=options) as producer:
        for number in range(500):
            producer.emit({"input_tokens": number})
        assert producer.flush(HANGING_S)
        assert producer.stats().dropped == {}
    assert [event["input_tokens"] for event in broker.events] == list(range(500))


def test_what_kafka_did_not_take_is_found_by_the_next_process(broker, tmp_path):
    options = ProducerOptions(spool_folder=tmp_path, away_after_s=0)
    broker.is_up = False
    producer = Producer(service="s", transport=broker, options=options)
    producer.emit({"input_tokens": 1})
    assert not producer.close()
    assert producer.stats().held == producer.stats().in_spool == 1
    (segment,) = (tmp_path / "llm.events").glob("*.seg")
    assert producer.stats().spool_bytes == segment.stat().st_size

    broker.is_up = True
    with Producer(service="s", transport=broker, options=options) as successor:
        successor.emit({"input_tokens": 2})
        assert successor.flush(HANGING_S)
        assert successor.stats().recovered == 1
    assert successor.stats().in_spool == successor.stats().spool_bytes == 0
    assert sorted(event["input_tokens"] for event in broker.events) == [1, 2]
    assert list((tmp_path / "llm.events").iterdir()) == []


def test_a_spool_that_cannot_be_made_is_told_and_events_are_sent_all_the_same(broker, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    options = ProducerOptions(spool_folder=tmp_path / "file")
    with Producer(service="s", transport=broker, options=options) as producer:
        producer.emit({})
        assert producer.flush(HANGING_S)
    assert "the spool is off: cannot make the spool's folder" in caplog.text


def test_a_producer_that_is_forgotten_still_sends_and_its_thread_ends(broker, threads):
    producer = Producer(service="s", transport=broker, options=ProducerOptions(linger_ms=10_000))
    producer.emit({"input_tokens": 1})
    (thread,) = threads()
    del producer
    gc.collect()
    thread.join(HANGING_S)
    assert not thread.is_alive()
    assert broker.events[0]["input_tokens"] == 1


def test_many_threads_share_one_producer(broker):
    with Producer(service="s", transport=broker) as producer:

        def work(thread: int) -> None:
            for number in range(1000):
                producer.emit({"input_tokens": thread * 1000 + number})

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert producer.flush(HANGING_S)
        assert producer.stats().emitted == producer.stats().delivered == 8000
    assert sorted(event["input_tokens"] for event in broker.events) == list(range(8000))
    assert len({event["event_id"] for event in broker.events}) == 8000


def test_a_log_handler_that_emits_itself_is_no_trap(broker):
    producer = Producer(service="s", transport=broker)
    handled: list[str] = []

    class Emitting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            handled.append(record.getMessage())
            producer.emit({"user_id": object()})

    handler = Emitting()
    logging.getLogger("tokentide").addHandler(handler)
    try:
        producer.emit("no event")
        producer.emit({"input_tokens": 1})
        assert producer.flush(HANGING_S)
    finally:
        logging.getLogger("tokentide").removeHandler(handler)
    assert producer.stats().dropped == {"invalid": 2}
    assert len(handled) == 1
    producer.close()


def test_disabled_it_sends_nothing_and_starts_nothing(broker, threads, monkeypatch):
    monkeypatch.setenv("TOKENTIDE_DISABLED", "1")
    for producer in (Producer(service="s", transport=broker), NullProducer()):
        producer.emit({"input_tokens": 1})
        with producer.call(model="m") as call, call.stage("nonsense"):
            call.usage(input_tokens=1)
        assert threads() == []
        assert producer.flush(0)
        assert producer.close()
        assert producer.stats().emitted == 0
    assert broker.records == []
    with Producer(service="s", transport=broker, disabled=False) as enabled:
        enabled.emit({})
        assert enabled.flush(HANGING_S)
    assert len(broker.records) == 1


@pytest.mark.parametrize(
    "servers", ["", " , ", [], "broker", "kafka://broker:9092", "user:canary@broker:9092", ["a:1", "b:x"]]
)
def test_an_address_that_cannot_be_one_is_an_error_that_does_not_repeat_it(servers):
    with pytest.raises(ValueError, match=r"bootstrap_servers") as caught:
        Producer(servers, service="s")
    assert "canary" not in str(caught.value)


def test_several_addresses_may_be_one_text_or_a_list():
    for servers in ("a:1, b:2", ["a:1", "b:2"]):
        assert repr(Producer(servers)) == "<Producer to llm.events at a:1, b:2>"


def test_the_log_is_given_a_few_addresses_and_no_password():
    assert _place(["a:1", "user:canary@b:2"]) == "a:1, b:2"
    assert _place(["a:1", "b:2", "c:3", "d:4", "e:5"]) == "a:1, b:2, c:3 and 2 more"


def test_no_representation_holds_a_secret():
    settings = KafkaSettings(
        bootstrap_servers=("broker:9093",),
        security_protocol="SASL_SSL",
        sasl_username="me",
        sasl_password="canary",
    )
    producer = Producer(kafka=settings)
    assert repr(producer) == "<Producer to llm.events at broker:9093>"
    assert "canary" not in repr(vars(producer)) + repr(vars(producer._engine))


def test_sasl_without_tls_is_refused_where_it_is_not_allowed():
    with pytest.raises(ValueError, match="SASL_PLAINTEXT sends the password unencrypted"):
        KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_username="me", sasl_password="x")
    with pytest.raises(SettingsError, match="SASL_PLAINTEXT sends the password unencrypted"):
        Producer.from_env(
            environ={
                "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "TOKENTIDE_KAFKA_SASL_USERNAME": "me",
                "TOKENTIDE_KAFKA_SASL_PASSWORD": "x",
            }
        )


def test_importing_the_sdk_loads_neither_the_client_nor_the_models(repository: Path):
    """A serverless function pays for imports at every cold start."""
    code = (
        "import sys, tokentide; from tokentide import Producer; Producer('a:1', service='s');"
        "print([name for name in ('kafka', 'pydantic', 'tokentide.config', 'pyarrow', 'asyncio')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['asyncio']"
    del repository


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"queue_max_events": 0}, "queue_max_events is 0; must be 1 … 1e\\+07"),
        ({"record_max_bytes": 2_000_000}, "record_max_bytes is 2000000"),
        ({"when_full": "block"}, "when_full is 'block'; must be drop or wait"),
        ({"compression": "zip"}, "compression is 'zip'"),
        ({"spool_max_bytes": 100}, "spool_max_bytes is 100"),
    ],
)
def test_options_outside_their_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ProducerOptions(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"linger_ms": "abc"}, "linger_ms is of the kind str; must be a number, 0 … 60000"),
        ({"linger_ms": None}, "linger_ms is of the kind NoneType; must be a number, 0 … 60000"),
        ({"close_timeout_s": True}, "close_timeout_s is of the kind bool; must be a number, 0 … 600"),
        ({"record_max_events": 2.5}, "record_max_events is of the kind float; must be a whole number, 1 … "),
        ({"spool_max_bytes": ""}, "spool_max_bytes is of the kind str; must be a whole number, 65536 … "),
        ({"spool_folder": "/tmp/x"}, "spool_folder is of the kind str; must be a pathlib.Path or None"),
        ({"sample_checks": "no"}, "sample_checks is of the kind str; must be True or False"),
    ],
)
def test_options_of_the_wrong_kind_are_refused_with_what_they_must_be(wrong, message):
    with pytest.raises(TypeError) as caught:
        ProducerOptions(**wrong)
    assert str(caught.value).startswith(message)


def test_times_may_be_fractions_and_the_spool_may_be_off():
    options = ProducerOptions(linger_ms=0.5, close_timeout_s=1, spool_max_bytes=0)
    assert options.linger_ms == 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"bootstrap_servers": 9092},
            "bootstrap_servers is of the kind int; must be text, host:port, or a list",
        ),
        (
            {"bootstrap_servers": [b"a:1"]},
            "bootstrap_servers is of the kind list; must be text, host:port, or a",
        ),
        ({"options": {"linger_ms": 1}}, r"options is of the kind dict; must be ProducerOptions(...)"),
        ({"labels": "team=a"}, "labels is of the kind str; must be a dictionary"),
        ({"defaults": ["service"]}, "defaults is of the kind list; must be a dictionary"),
        ({"bootstrap_server": "a:1"}, "bootstrap_server"),
    ],
)
def test_arguments_of_the_wrong_kind_or_name_are_refused_by_name(wrong, message):
    with pytest.raises(TypeError) as caught:
        Producer(**{"service": "s", **wrong})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        Producer,
        lambda: Producer(service=""),
        lambda: Producer(defaults={"service": ""}),
        lambda: Producer.from_env(environ={}),
    ],
)
def test_a_producer_without_a_service_says_so_when_it_is_made_with_the_remedy(make, caplog):
    make()
    (message,) = caplog.messages
    assert message.startswith(
        "this producer has no service, so events that do not carry one themselves are dropped"
    )
    assert "pass service=..., or set TOKENTIDE_SERVICE and use Producer.from_env()" in message
    assert caplog.records[0].name == "tokentide"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Producer(service="s"),
        lambda: Producer(defaults={"service": "s"}),
        lambda: Producer.from_env(environ={"OTEL_SERVICE_NAME": "s"}),
        lambda: Producer(disabled=True),
        NullProducer,
    ],
)
def test_a_producer_with_a_service_or_that_sends_nothing_says_nothing(make, caplog):
    make()
    assert caplog.messages == []


def test_the_service_among_the_defaults_is_used(broker):
    with Producer(defaults={"service": "s", "region": "r"}, environment="", transport=broker) as producer:
        producer.emit({})
    assert broker.events[0].items() >= {"service": "s", "region": "r"}.items()


def test_an_error_of_our_own_is_logged_and_the_sender_goes_on(broker, caplog, monkeypatch):
    caplog.set_level(logging.ERROR, "tokentide")
    producer = Producer(service="s", transport=broker, options=ProducerOptions(linger_ms=0))
    producer.emit({"input_tokens": 1})
    assert producer.flush(HANGING_S)
    monkeypatch.setattr("tokentide.producers.sender.PAUSE_AFTER_ERROR_S", 0.0)
    real, calls = producer._engine._sender.dispatcher.step, []

    def fail_once(**options: object) -> float:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return real(**options)

    monkeypatch.setattr(producer._engine._sender.dispatcher, "step", fail_once)
    producer.emit({"input_tokens": 2})
    assert producer.flush(HANGING_S)
    assert len(broker.events) == 2
    assert "the sender of events failed; it goes on" in caplog.text
    producer.close()


def test_a_burst_of_fifty_thousand_events_is_held(broker):
    with Producer(service="s", transport=broker) as producer:
        for number in range(50_000):
            producer.emit({"input_tokens": number})
        assert producer.flush(HANGING_S)
    assert sorted(event["input_tokens"] for event in broker.events) == list(range(50_000))
