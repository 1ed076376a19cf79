"""Kafka's errors as ours."""

from __future__ import annotations

import errno
import logging
from typing import NoReturn

import pytest
from kafka_errors import kafka_python_errors

from tokentide.cli.exits import CliError, ExitCode
from tokentide.cli.kafka_access import kafka_errors
from tokentide.cli.kafka_trouble import keep_kafka_quiet
from tokentide.config import KafkaSettings, load_settings
from tokentide.config.kafka_diagnosis import Diagnosis

errors = kafka_python_errors()


@pytest.fixture(autouse=True)
def diagnosis(monkeypatch: pytest.MonkeyPatch) -> list[Diagnosis | None]:
    """What a look at the listener finds; nothing, unless a test says otherwise."""
    found: list[Diagnosis | None] = [None]
    monkeypatch.setattr("tokentide.cli.kafka_access.diagnose", lambda _: found[-1])
    return found


def as_ours(error: Exception, **variables: str) -> CliError:
    environ = {f"TOKENTIDE_KAFKA_{name}": value for name, value in variables.items()}
    with pytest.raises(CliError) as caught, kafka_errors(load_settings(environ=environ).kafka):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("KafkaTimeoutError", ExitCode.UNREACHABLE),
        ("KafkaConnectionError", ExitCode.UNREACHABLE),
        ("SaslAuthenticationFailedError", ExitCode.REFUSED),
        ("TopicAuthorizationFailedError", ExitCode.REFUSED),
        ("GroupAuthorizationFailedError", ExitCode.REFUSED),
        ("UnknownTopicOrPartitionError", ExitCode.NOT_READY),
        ("PolicyViolationError", ExitCode.REFUSED),
        ("UnsupportedCodecError", ExitCode.NOT_READY),
    ],
)
def test_each_error_of_kafka_has_its_exit_code(name: str, code: ExitCode) -> None:
    assert as_ours(getattr(errors, name)()).exit_code == code


def test_a_broker_that_does_not_answer_may_expect_another_protocol() -> None:
    assert "kafka.security_protocol (now PLAINTEXT)" in as_ours(errors.KafkaTimeoutError()).hint


def logged(error: Exception) -> None:
    """What kafka-python does while it tries to connect."""
    logging.getLogger("kafka.net.connection").error("%s: Connection lost: %s", "x", error)


def given_up(*tries: Exception) -> CliError:
    """A client that logs its tries and then gives up."""

    def connect() -> NoReturn:
        for error in tries:
            logged(error)
        raise errors.KafkaTimeoutError

    with pytest.raises(CliError) as caught, kafka_errors(KafkaSettings()):
        connect()
    return caught.value


def test_a_login_that_was_refused_while_connecting_is_no_silence(capsys: pytest.CaptureFixture[str]) -> None:
    keep_kafka_quiet()
    error = given_up(
        errors.KafkaConnectionError("socket disconnected"),
        errors.SaslAuthenticationFailedError("c4nary"),
        errors.KafkaConnectionError("socket disconnected"),
    )
    assert "refused the login" in error.message
    assert "c4nary" not in error.message + capsys.readouterr().err


def test_the_reason_of_the_last_try_to_connect_is_told() -> None:
    keep_kafka_quiet()
    error = given_up(
        errors.KafkaConnectionError("Handshake failed: certificate verify failed"),
        errors.KafkaTimeoutError("Unable to bootstrap"),
    )
    assert error.message.endswith("does not answer: Handshake failed: certificate verify failed")


def test_an_error_number_is_told_in_words() -> None:
    keep_kafka_quiet()
    error = given_up(errors.KafkaConnectionError(f"{errno.ECONNREFUSED} ECONNREFUSED"))
    assert error.message.endswith("does not answer: connection refused")


def test_where_a_login_is_asked_for_it_may_be_the_cause() -> None:
    login = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "ann", "SASL_PASSWORD": "c4nary"}
    assert "kafka.sasl_password" in as_ours(errors.KafkaTimeoutError(), **login).hint
    assert "sasl" not in as_ours(errors.KafkaTimeoutError()).hint


def test_the_trouble_of_an_earlier_command_is_forgotten() -> None:
    keep_kafka_quiet()
    logged(errors.KafkaConnectionError("long ago"))
    assert "long ago" not in as_ours(errors.KafkaTimeoutError()).message


def test_a_refused_login_names_the_user_and_never_the_password() -> None:
    error = as_ours(
        errors.SaslAuthenticationFailedError("c4nary"),
        SECURITY_PROTOCOL="SASL_SSL",
        SASL_USERNAME="ann",
        SASL_PASSWORD="c4nary",
    )
    assert "ann" in error.message
    assert "c4nary" not in error.message + error.hint


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), kafka_errors(KafkaSettings()):
        raise ZeroDivisionError


LOGIN = Diagnosis("login", "b:1 refuses the login of ann", "Check kafka.sasl_password.")
CERTIFICATE = Diagnosis(
    "certificate", "b:1 has a certificate that is not trusted: x", "Set kafka.tls_ca_file."
)
PROTOCOL = Diagnosis("protocol", "b:1 expects TLS", "Set kafka.security_protocol to SSL.")
AWAY = Diagnosis("address", "b:1 does not answer: connection refused", "Check kafka.bootstrap_servers.")


@pytest.mark.parametrize(
    ("looked", "code", "may_pass"),
    [
        (LOGIN, ExitCode.REFUSED, False),
        (CERTIFICATE, ExitCode.UNREACHABLE, False),
        (PROTOCOL, ExitCode.UNREACHABLE, False),
        (AWAY, ExitCode.UNREACHABLE, True),
    ],
)
def test_a_client_that_gives_up_is_told_what_a_look_at_the_listener_finds(
    looked: Diagnosis,
    code: ExitCode,
    diagnosis: list[Diagnosis | None],
    *,
    may_pass: bool,
) -> None:
    diagnosis.append(looked)
    error = as_ours(errors.KafkaTimeoutError())
    assert (error.message, error.hint) == (f"Kafka at {looked.what}", looked.remedy)
    assert (error.exit_code, error.may_pass) == (code, may_pass)


def test_a_listener_is_not_looked_at_where_the_client_knows_better(diagnosis: list[Diagnosis | None]) -> None:
    diagnosis.append(PROTOCOL)
    assert "refused the login" in as_ours(errors.SaslAuthenticationFailedError()).message
    assert "PolicyViolation" in as_ours(errors.PolicyViolationError()).message
