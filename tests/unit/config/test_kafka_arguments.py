from __future__ import annotations

import importlib
import inspect
import ssl
from pathlib import Path

import pytest

from tokentide.config import KafkaSettings, SettingsError, client_arguments, load_settings, ssl_context


def kafka(**variables: str) -> KafkaSettings:
    return load_settings(
        environ={f"TOKENTIDE_KAFKA_{name}": value for name, value in variables.items()}
    ).kafka


def test_plain_connections_carry_neither_login_nor_tls() -> None:
    assert client_arguments(kafka(BOOTSTRAP_SERVERS="a:1,b:2")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "client_id": "tokentide",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": None,
        "sasl_plain_password": None,
        "request_timeout_ms": 30_000,
    }


def test_a_login_over_tls_carries_both() -> None:
    arguments = client_arguments(
        kafka(
            SECURITY_PROTOCOL="SASL_SSL",
            SASL_MECHANISM="SCRAM-SHA-512",
            SASL_USERNAME="ann",
            SASL_PASSWORD="pw",
        )
    )
    assert (
        arguments["sasl_mechanism"],
        arguments["sasl_plain_username"],
        arguments["sasl_plain_password"],
    ) == ("SCRAM-SHA-512", "ann", "pw")
    context = arguments["ssl_context"]
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_the_check_of_the_host_name_can_be_switched_off_but_not_the_one_of_the_certificate() -> None:
    context = ssl_context(kafka(SECURITY_PROTOCOL="SSL", TLS_CHECK_HOSTNAME="no"))
    assert context is not None
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.filterwarnings("ignore:.*_text is deprecated")  # kafka-python's own, while it is imported
@pytest.mark.parametrize("name", ["KafkaConsumer", "KafkaProducer", "KafkaAdminClient"])
def test_kafka_python_knows_every_argument(name: str) -> None:
    client = getattr(importlib.import_module("kafka"), name)
    assert set(client_arguments(kafka())) <= set(client.DEFAULT_CONFIG)


@pytest.mark.parametrize("name", ["AIOKafkaConsumer", "AIOKafkaProducer"])
def test_aiokafka_knows_every_argument(name: str) -> None:
    aiokafka = pytest.importorskip("aiokafka", reason="needs the extra [stream]")
    assert set(client_arguments(kafka())) <= set(inspect.signature(getattr(aiokafka, name)).parameters)


def test_a_missing_certificate_is_a_settings_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "ca.pem")
    with pytest.raises(SettingsError, match="a certificate or key cannot be used: No such file"):
        client_arguments(kafka(SECURITY_PROTOCOL="SSL", TLS_CA_FILE=missing))


def test_a_certificate_that_is_none_is_a_settings_error(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("not a certificate", encoding="ascii")
    with pytest.raises(SettingsError, match="cannot be used"):
        client_arguments(kafka(SECURITY_PROTOCOL="SSL", TLS_CA_FILE=str(nonsense)))
