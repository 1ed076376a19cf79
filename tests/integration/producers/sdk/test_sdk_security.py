"""Login and permissions, on an Apache Kafka that asks for both: what is wrong is told, nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.apache_kafka import ApacheKafka
from tests.support.brokers import Broker
from tests.support.fixtures import _require
from tests.support.ports import unused_port
from tests.support.waiting import HANGING_S
from tokentide import Producer, ProducerOptions
from tokentide.config import KafkaSettings

pytestmark = pytest.mark.apache_kafka


class Guarded(NamedTuple):
    """A broker, and where it asks for a login: in the open, and encrypted."""

    broker: Broker
    address: str
    encrypted_address: str
    certificate: Path


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the loopback interface, signed by itself, and its key."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    _require("apache_kafka")
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("guarded")
    certificate, key = _certificate(folder)
    (folder / "keystore.pem").write_text(key.read_text() + certificate.read_text())
    plain, controller, login, tls = unused_port(), unused_port(), unused_port(), unused_port()
    clients = f"PLAINTEXT://127.0.0.1:{plain},LOGIN://127.0.0.1:{login},ENCRYPTED://127.0.0.1:{tls}"
    jaas = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'user_writer="password-canary" user_stranger="password-canary";'
    )
    kafka = ApacheKafka(
        folder / "broker",
        port=plain,
        properties={
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": clients,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,ENCRYPTED:SASL_SSL"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": jaas,
            "listener.name.encrypted.plain.sasl.jaas.config": jaas,
            "listener.name.encrypted.ssl.keystore.type": "PEM",
            "listener.name.encrypted.ssl.keystore.location": str(folder / "keystore.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:writer",
        },
    )
    with kafka:
        yield Guarded(Broker("apache_kafka", kafka), f"127.0.0.1:{login}", f"127.0.0.1:{tls}", certificate)


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
        options=ProducerOptions(spool_folder=folder / "spool", away_after_s=0.5, close_timeout_s=2.0),
    )


def test_who_logs_in_can_send(guarded, tmp_path, arrived):
    topic = guarded.broker.create_topic()
    with producer(guarded, topic, tmp_path, user="writer", password="password-canary") as made:
        made.emit({"input_tokens": 1})
        assert made.flush(HANGING_S)
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
        assert right.flush(HANGING_S)
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
        assert writer.flush(HANGING_S)
    assert arrived(guarded.broker, topic) == list(range(11))


def environment(guarded: Guarded, prefix: str, *, certificate: Path) -> dict[str, str]:
    return {
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": guarded.encrypted_address,
        "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "TOKENTIDE_KAFKA_SASL_USERNAME": "writer",
        "TOKENTIDE_KAFKA_SASL_PASSWORD": "password-canary",
        "TOKENTIDE_KAFKA_TLS_CA_FILE": str(certificate),
        "TOKENTIDE_TOPICS_PREFIX": prefix,
    }


@pytest.fixture
def prefix(guarded: Guarded) -> str:
    """Of the topics of one test; its `events` is there."""
    found = guarded.broker.unique() + "."
    guarded.broker.create_topic(found + "events")
    return found


def test_the_environment_is_enough_to_send_encrypted(guarded, prefix, tmp_path, arrived):
    made = Producer.from_env(
        environ=environment(guarded, prefix, certificate=guarded.certificate),
        service="shop",
        options=ProducerOptions(spool_folder=tmp_path),
    )
    with made:
        for number in range(100):
            made.emit({"input_tokens": number})
        assert made.flush(HANGING_S)
    assert arrived(guarded.broker, prefix + "events") == list(range(100))


def test_a_broker_whose_certificate_is_not_trusted_gets_nothing(guarded, prefix, tmp_path, eventually):
    other, _ = _certificate(tmp_path)
    made = Producer.from_env(
        environ=environment(guarded, prefix, certificate=other),
        service="shop",
        options=ProducerOptions(spool_folder=tmp_path / "spool", away_after_s=0.5, close_timeout_s=1.0),
    )
    made.emit({"input_tokens": 1})
    eventually(lambda: made.stats().in_spool == 1)
    assert not made.close()
    assert made.stats().delivered == 0


def test_forked_children_leave_the_encrypted_connection_of_their_parent_alone(
    guarded, prefix, tmp_path, arrived, script
):
    variables = environment(guarded, prefix, certificate=guarded.certificate)
    code = f"""
    import os, sys
    from pathlib import Path
    os.environ.update({variables!r})
    from tokentide import Producer, ProducerOptions
    producer = Producer.from_env(service="shop", options=ProducerOptions(spool_folder=Path(sys.argv[1])))

    def emit(first, last):
        for number in range(first, last):
            producer.emit({{"input_tokens": number}})

    emit(1000, 1100)
    assert producer.flush(300)
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            emit(2000 + child, 2001 + child)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        emit(1100 + child, 1101 + child)
        assert producer.flush(300)
    """
    script(code, str(tmp_path / "spool")).end()
    assert arrived(guarded.broker, prefix + "events") == [*range(1000, 1103), *range(2000, 2003)]
