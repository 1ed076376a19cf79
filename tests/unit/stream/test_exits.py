"""What a worker says when Kafka cannot be used: the setting to mend, not that time is over."""

from __future__ import annotations

from pathlib import Path

import aiokafka.errors
import kafka.errors
import pytest

from tests.support.certificates import new_certificate
from tests.support.kafka_listener import KafkaListener
from tokentide.config import KafkaSettings, load_settings
from tokentide.stream.exits import Exit, told_of

GAVE_UP = kafka.errors.KafkaTimeoutError("Unable to bootstrap from ['b:1']")
OPEN_LOGIN = {
    "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "ALLOW_PLAINTEXT_SASL": "true",
    "SASL_USERNAME": "writer",
    "SASL_PASSWORD": "password-c4nary",
}


def settings(listener: KafkaListener, **variables: str | Path) -> KafkaSettings:
    given = {"BOOTSTRAP_SERVERS": listener.address, **variables}
    return load_settings(
        environ={f"TOKENTIDE_KAFKA_{name}": str(value) for name, value in given.items()}
    ).kafka


def told(error: Exception, listener: KafkaListener, **variables: str | Path) -> str:
    with listener.running():
        code, said, remedy = told_of(error, settings(listener, **variables))
    assert code is Exit.KAFKA
    assert "start the worker again" in remedy
    assert "c4nary" not in said + remedy
    return f"{said}; {remedy}"


def test_password_certificate_and_protocol_are_told_apart_with_the_setting_of_each(tmp_path: Path) -> None:
    own, other = new_certificate(tmp_path), new_certificate(tmp_path, "other")
    password = told(GAVE_UP, KafkaListener(login=("writer", "another")), **OPEN_LOGIN)
    assert "refuses the login of writer" in password
    assert "kafka.sasl_password" in password
    with_other = {"SECURITY_PROTOCOL": "SSL", "TLS_CA_FILE": other.certificate}
    authority = told(GAVE_UP, KafkaListener(tls=own), **with_other)
    assert "kafka.tls_ca_file" in authority
    protocol = told(GAVE_UP, KafkaListener(tls=own))
    assert "kafka.security_protocol to SSL" in protocol


def test_so_it_is_with_the_errors_of_the_consumer() -> None:
    listener = KafkaListener(login=("writer", "another"))
    assert "kafka.sasl_password" in told(aiokafka.errors.KafkaConnectionError(), listener, **OPEN_LOGIN)


def test_where_nobody_listens_the_address_is_named() -> None:
    code, said, remedy = told_of(
        GAVE_UP, load_settings(environ={"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}).kafka
    )
    assert code is Exit.KAFKA
    assert said == "Kafka at 127.0.0.1:1 does not answer: connection refused"
    assert "kafka.bootstrap_servers" in remedy


def test_where_the_listener_is_well_the_error_is_told_as_it_is() -> None:
    assert "Unable to bootstrap" in told(GAVE_UP, KafkaListener())


def test_a_topic_that_is_missing_is_no_matter_of_the_listener() -> None:
    listener = KafkaListener(login=("writer", "another"))
    error = kafka.errors.UnknownTopicOrPartitionError("llm.events")
    assert "tokentide init" in told(error, listener, **OPEN_LOGIN)
    assert listener.connections == 0


@pytest.mark.parametrize("library", [kafka.errors, aiokafka.errors])
@pytest.mark.parametrize("what", ["Topic", "Group", "Cluster"])
def test_a_right_that_is_lacking_is_named(library: object, what: str) -> None:
    error = getattr(library, f"{what}AuthorizationFailedError")("x")
    assert "READ" in told(error, KafkaListener())
