"""Login and permissions, on an Apache Kafka that asks for both: what is wrong is told, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.apache_kafka import ApacheKafka
from tests.support.brokers import Broker
from tests.support.fixtures import _require
from tokentide import Producer, ProducerOptions
from tokentide.config import KafkaSettings
from tokentide.embedded.ports import free_port

pytestmark = [
    pytest.mark.apache_kafka,
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Guarded(NamedTuple):
    """A broker, and the port at which it asks for a login."""

    broker: Broker
    address: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    _require("apache_kafka")
    plain, controller, login = free_port(), free_port(), free_port()
    clients = f"PLAINTEXT://127.0.0.1:{plain},LOGIN://127.0.0.1:{login}"
    kafka = ApacheKafka(
        tmp_path_factory.mktemp("guarded"),
        port=plain,
        properties={
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": clients,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                'user_writer="password-canary" user_stranger="password-canary";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:writer",
        },
    )
    with kafka:
        yield Guarded(Broker("apache_kafka", kafka), f"127.0.0.1:{login}")


def producer(guarded: Guarded, topic: str, folder: Path, *, user: str, password: str) -> Producer:
    return Producer(
        kafka=KafkaSettings(
            bootstrap_servers=(guarded.address,),
            security_protocol="SASL_PLAINTEXT",
            sasl_username=user,
            sasl_password=password,
            allow_plaintext_sasl=True,
        ),
        topic=topic,
        service="shop",
        options=ProducerOptions(
            spool_folder=folder / "spool", away_after_s=0.5, delivery_timeout_s=4.0, close_timeout_s=2.0
        ),
    )


def test_who_logs_in_can_send(guarded, tmp_path, arrived):
    topic = guarded.broker.create_topic()
    with producer(guarded, topic, tmp_path, user="writer", password="password-canary") as made:
        made.emit({"input_tokens": 1})
        assert made.flush(30)
    assert arrived(guarded.broker, topic) == [1]


def test_a_wrong_password_is_told_and_costs_no_event(guarded, tmp_path, arrived, eventually, caplog):
    caplog.set_level("DEBUG", "tokentide")
    caplog.set_level("DEBUG", "kafka.net")
    topic = guarded.broker.create_topic()
    wrong = producer(guarded, topic, tmp_path, user="writer", password="other-canary")
    for number in range(10):
        wrong.emit({"input_tokens": number})
    eventually(lambda: "do encryption and login fit?" in (wrong.stats().problem or ""))
    eventually(lambda: wrong.stats().in_spool == 10)
    assert not wrong.close()
    with producer(guarded, topic, tmp_path, user="writer", password="password-canary") as right:
        right.emit({"input_tokens": 10})
        assert right.flush(30)
    assert arrived(guarded.broker, topic) == list(range(11))
    assert "canary" not in caplog.text


def test_a_missing_permission_is_told_and_costs_no_event(guarded, tmp_path, arrived, eventually):
    topic = guarded.broker.create_topic()
    stranger = producer(guarded, topic, tmp_path, user="stranger", password="password-canary")
    for number in range(10):
        stranger.emit({"input_tokens": number})
    eventually(lambda: stranger.stats().in_spool == 10)
    eventually(lambda: "the user may not write to the topic" in (stranger.stats().problem or ""))
    assert not stranger.close()
    with producer(guarded, topic, tmp_path, user="writer", password="password-canary") as writer:
        writer.emit({"input_tokens": 10})
        assert writer.flush(30)
    assert arrived(guarded.broker, topic) == list(range(11))
