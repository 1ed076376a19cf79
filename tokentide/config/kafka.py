"""The arguments of the Kafka clients, from the one settings object: every client logs in the same way.

For kafka-python (SDK, administration, command line) and aiokafka (worker). No client library is
imported here; the SSL context is the standard library's.
"""

from __future__ import annotations

import ssl
from typing import TypedDict

from tokentide.config.settings import KafkaSettings
from tokentide.errors import SettingProblem, SettingsError


class KafkaClientArguments(TypedDict):
    """What both client libraries take under the same names."""

    bootstrap_servers: list[str]
    client_id: str
    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: str
    sasl_plain_username: str | None
    sasl_plain_password: str | None
    request_timeout_ms: int


class SecurityArguments(TypedDict):
    """The part of them that concerns encryption and login."""

    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: str
    sasl_plain_username: str | None
    sasl_plain_password: str | None


def security_arguments(kafka: KafkaSettings) -> SecurityArguments:
    """Return encryption and login, for clients that take the addresses apart (Faust's credentials).

    Raises:
        SettingsError: a certificate or key file cannot be used.
    """
    password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
    return {
        "security_protocol": kafka.security_protocol,
        "ssl_context": ssl_context(kafka),
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username if kafka.uses_sasl else None,
        "sasl_plain_password": password if kafka.uses_sasl else None,
    }


def client_arguments(kafka: KafkaSettings) -> KafkaClientArguments:
    """Return the arguments that every client of kafka-python and of aiokafka takes alike.

    Pass them as `KafkaConsumer(**client_arguments(settings.kafka), group_id=…)`. The dictionary holds
    the password in clear: hand it to the client and keep it out of logs.

    Raises:
        SettingsError: a certificate or key file cannot be used.
    """
    security = security_arguments(kafka)
    return {
        "bootstrap_servers": list(kafka.bootstrap_servers),
        "client_id": kafka.client_id,
        "security_protocol": security["security_protocol"],
        "ssl_context": security["ssl_context"],
        "sasl_mechanism": security["sasl_mechanism"],
        "sasl_plain_username": security["sasl_plain_username"],
        "sasl_plain_password": security["sasl_plain_password"],
        "request_timeout_ms": round(kafka.request_timeout_seconds * 1000),
    }


def ssl_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    """Return the TLS context, or None where the protocol has no TLS.

    Raises:
        SettingsError: a certificate or key file is missing or unusable.
    """
    if not kafka.uses_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.tls_ca_file)
        context.check_hostname = kafka.tls_check_hostname
        if kafka.tls_cert_file and kafka.tls_key_file:
            # With no password given, an encrypted key must fail here instead of asking on the terminal.
            password = kafka.tls_key_password.get_secret_value() if kafka.tls_key_password else ""
            context.load_cert_chain(kafka.tls_cert_file, kafka.tls_key_file, password=lambda: password)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or type(error).__name__
        raise SettingsError(
            [SettingProblem("kafka.tls_*_file", f"a certificate or key cannot be used: {reason}")]
        ) from error
    return context
