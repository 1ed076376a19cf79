"""Why no client gets anywhere with a listener of Kafka, and which setting mends it."""

from __future__ import annotations

import socket
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.support.certificates import Certificate, new_certificate
from tests.support.kafka_listener import KafkaListener
from tokentide.config import KafkaSettings, load_settings
from tokentide.config.kafka_diagnosis import Diagnosis, diagnose

LOGIN = ("writer", "password-c4nary")
OPEN_LOGIN = {
    "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "ALLOW_PLAINTEXT_SASL": "true",
    "SASL_USERNAME": LOGIN[0],
    "SASL_PASSWORD": LOGIN[1],
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return new_certificate(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return new_certificate(tmp_path_factory.mktemp("other"), "other")


def kafka(address: str, **variables: str | Path) -> KafkaSettings:
    given = {"BOOTSTRAP_SERVERS": address, **variables}
    return load_settings(
        environ={f"TOKENTIDE_KAFKA_{name}": str(value) for name, value in given.items()}
    ).kafka


def found(listener: KafkaListener, *, timeout_s: float = 2.0, **variables: str | Path) -> Diagnosis | None:
    with listener.running():
        diagnosis = diagnose(kafka(listener.address, **variables), timeout_s=timeout_s)
    if diagnosis is not None:
        assert "c4nary" not in str(asdict(diagnosis))
        assert listener.address in diagnosis.what
    return diagnosis


def with_tls(certificate: Certificate) -> dict[str, str | Path]:
    return {"SECURITY_PROTOCOL": "SSL", "TLS_CA_FILE": certificate.certificate}


def test_a_listener_that_answers_is_well(own: Certificate) -> None:
    assert found(KafkaListener()) is None
    assert found(KafkaListener(tls=own), **with_tls(own)) is None
    assert found(KafkaListener(login=LOGIN), **OPEN_LOGIN) is None
    assert (
        found(
            KafkaListener(tls=own, login=LOGIN),
            **{**OPEN_LOGIN, **with_tls(own), "SECURITY_PROTOCOL": "SASL_SSL"},
        )
        is None
    )


@pytest.mark.parametrize("says_why", [True, False])
def test_a_wrong_password_is_a_refused_login(says_why: bool) -> None:  # noqa: FBT001 - parametrised
    diagnosis = found(KafkaListener(login=("writer", "another"), says_why=says_why), **OPEN_LOGIN)
    assert diagnosis is not None
    assert diagnosis.kind == "login"
    assert "refuses the login of writer" in diagnosis.what
    assert "kafka.sasl_password" in diagnosis.remedy
    assert not diagnosis.may_pass


def test_so_it_is_over_tls(own: Certificate) -> None:
    listener = KafkaListener(tls=own, login=("writer", "another"))
    diagnosis = found(listener, **{**OPEN_LOGIN, **with_tls(own), "SECURITY_PROTOCOL": "SASL_SSL"})
    assert diagnosis is not None
    assert diagnosis.kind == "login"


def test_a_certificate_of_another_authority_names_the_file_of_those_to_trust(
    own: Certificate, other: Certificate
) -> None:
    diagnosis = found(KafkaListener(tls=own), **with_tls(other))
    assert diagnosis is not None
    assert diagnosis.kind == "certificate"
    assert "self-signed certificate" in diagnosis.what or "self signed certificate" in diagnosis.what
    assert "kafka.tls_ca_file" in diagnosis.remedy


def test_a_certificate_for_another_host_names_the_address(tmp_path: Path) -> None:
    made = new_certificate(tmp_path, host="DNS:broker-1")
    diagnosis = found(KafkaListener(tls=made), **with_tls(made))
    assert diagnosis is not None
    assert diagnosis.kind == "certificate"
    assert "kafka.bootstrap_servers" in diagnosis.remedy
    assert "kafka.tls_check_hostname" in diagnosis.remedy
    assert found(KafkaListener(tls=made), **with_tls(made), TLS_CHECK_HOSTNAME="false") is None


def test_plaintext_against_tls_names_the_protocol(own: Certificate) -> None:
    diagnosis = found(KafkaListener(tls=own))
    assert diagnosis is not None
    assert diagnosis.kind == "protocol"
    assert "TLS" in diagnosis.what
    assert "kafka.security_protocol to SSL" in diagnosis.remedy


def test_a_login_in_the_open_against_tls_names_the_protocol(own: Certificate) -> None:
    diagnosis = found(KafkaListener(tls=own, login=LOGIN), **OPEN_LOGIN)
    assert diagnosis is not None
    assert "kafka.security_protocol to SASL_SSL" in diagnosis.remedy


def test_tls_against_plaintext_names_the_protocol(own: Certificate) -> None:
    diagnosis = found(KafkaListener(), **with_tls(own))
    assert diagnosis is not None
    assert diagnosis.kind == "protocol"
    assert "kafka.security_protocol to PLAINTEXT" in diagnosis.remedy


def test_a_login_where_none_is_asked_for_names_the_protocol() -> None:
    diagnosis = found(KafkaListener(), **OPEN_LOGIN)
    assert diagnosis is not None
    assert diagnosis.kind == "protocol"
    assert "kafka.security_protocol to PLAINTEXT" in diagnosis.remedy


def test_no_login_where_one_is_asked_for_names_the_protocol(own: Certificate) -> None:
    diagnosis = found(KafkaListener(login=LOGIN))
    assert diagnosis is not None
    assert diagnosis.kind == "protocol"
    assert "kafka.security_protocol to SASL_PLAINTEXT" in diagnosis.remedy
    diagnosis = found(KafkaListener(tls=own, login=LOGIN), **with_tls(own))
    assert diagnosis is not None
    assert "kafka.security_protocol to SASL_SSL" in diagnosis.remedy


def test_another_mechanism_is_named_with_those_that_there_are() -> None:
    diagnosis = found(KafkaListener(login=LOGIN), **OPEN_LOGIN, SASL_MECHANISM="SCRAM-SHA-256")
    assert diagnosis is not None
    assert "kafka.sasl_mechanism to PLAIN" in diagnosis.remedy


def test_a_client_certificate_that_is_missing_is_named(own: Certificate, other: Certificate) -> None:
    listener = KafkaListener(tls=own, wants_client_certificate=True)
    diagnosis = found(listener, **with_tls(own))
    assert diagnosis is not None
    assert diagnosis.kind == "certificate"
    assert "kafka.tls_cert_file" in diagnosis.remedy
    files = {"TLS_CERT_FILE": other.certificate, "TLS_KEY_FILE": other.key}
    diagnosis = found(KafkaListener(tls=own, wants_client_certificate=True), **with_tls(own), **files)
    assert diagnosis is not None
    assert "kafka.tls_cert_file" in diagnosis.remedy
    files = {"TLS_CERT_FILE": own.certificate, "TLS_KEY_FILE": own.key}
    assert found(KafkaListener(tls=own, wants_client_certificate=True), **with_tls(own), **files) is None


def test_nobody_there_may_pass_and_names_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    diagnosis = diagnose(kafka(address))
    assert diagnosis is not None
    assert (diagnosis.kind, diagnosis.may_pass) == ("address", True)
    assert diagnosis.what == f"{address} does not answer: connection refused"
    assert "kafka.bootstrap_servers" in diagnosis.remedy


def test_a_name_that_is_none_names_the_address() -> None:
    diagnosis = diagnose(kafka("no-such-host.invalid:9092"))
    assert diagnosis is not None
    assert (diagnosis.kind, diagnosis.may_pass) == ("address", True)
    assert "no-such-host.invalid:9092" in diagnosis.what
    assert "kafka.bootstrap_servers" in diagnosis.remedy


def test_silence_may_pass() -> None:
    diagnosis = found(KafkaListener(is_silent=True), timeout_s=0.3)
    assert diagnosis is not None
    assert (diagnosis.kind, diagnosis.may_pass) == ("address", True)
    assert "connects and then does not answer" in diagnosis.what


def test_of_several_brokers_one_that_answers_is_enough_and_what_stays_goes_before_what_passes() -> None:
    with KafkaListener(login=LOGIN).running() as asks, KafkaListener().running() as well:
        assert diagnose(kafka(f"127.0.0.1:1,{asks.address},{well.address}")) is None
        diagnosis = diagnose(kafka(f"127.0.0.1:1,{asks.address}"))
    assert diagnosis is not None
    assert asks.address in diagnosis.what
