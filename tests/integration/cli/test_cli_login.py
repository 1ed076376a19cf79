"""Commands on an Apache Kafka that asks for a login: what is wrong is told, and the password nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands_support import tokentide

from tests.support.apache_kafka import ApacheKafka
from tests.support.certificates import Certificate, new_certificate
from tests.support.fixtures import _require
from tests.support.ports import unused_port

pytestmark = pytest.mark.apache_kafka

LOGIN = {
    "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "TOKENTIDE_KAFKA_ALLOW_PLAINTEXT_SASL": "true",
    "TOKENTIDE_KAFKA_SASL_USERNAME": "writer",
    "TOKENTIDE_KAFKA_SASL_PASSWORD": "password-c4nary",
}


@pytest.fixture(scope="module")
def guarded(brokers: tuple[str, str, Certificate]) -> str:
    """Where it asks for a login in the open."""
    return brokers[0]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Certificate]]:
    """Where it asks for a login (`writer` may do all, `stranger` nothing), where it speaks TLS, and its certificate."""
    _require("apache_kafka")
    folder = tmp_path_factory.mktemp("tls")
    made = new_certificate(folder)
    (folder / "keystore.pem").write_text(made.key.read_text() + made.certificate.read_text())
    plain, controller, login, tls = unused_port(), unused_port(), unused_port(), unused_port()
    clients = f"PLAINTEXT://127.0.0.1:{plain},LOGIN://127.0.0.1:{login},TLS://127.0.0.1:{tls}"
    kafka = ApacheKafka(
        tmp_path_factory.mktemp("guarded"),
        port=plain,
        properties={
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": clients,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SSL",
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(folder / "keystore.pem"),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                'user_writer="password-c4nary" user_stranger="password-c4nary";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:writer",
        },
    )
    with kafka:
        yield f"127.0.0.1:{login}", f"127.0.0.1:{tls}", made


def run(address: str, *arguments: str, stdin: str = "", **settings: str) -> tuple[int, str, str]:
    environ = {"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": address, **LOGIN, **settings}
    done = tokentide(*arguments, environ=environ, stdin=stdin)
    assert "c4nary" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_who_logs_in_can_do_everything(guarded: str) -> None:
    code, _, err = run(guarded, "init", "--only", "topics")
    assert (code, err) == (0, "")
    event = '{"event_id": "1", "service": "a", "timestamp": "2024-05-01T00:00:00Z"}\n'
    assert run(guarded, "ship", "-", "--quiet", stdin=event)[0] == 0
    code, out, _ = run(guarded, "tail", "events", "--from-beginning", "--no-follow", "--json")
    assert (code, json.loads(out)["service"]) == (0, "a")
    assert run(guarded, "wait", "--timeout", "0")[0] == 1


def test_a_wrong_password_points_to_the_login(guarded: str) -> None:
    code, _, err = run(guarded, "wait", TOKENTIDE_KAFKA_SASL_PASSWORD="other-c4nary")
    assert code == 5
    assert "the login of writer" in err
    assert "kafka.sasl_password" in err


def test_a_user_without_rights_is_told_which_are_needed(guarded: str) -> None:
    code, _, err = run(guarded, "init", "--only", "topics", TOKENTIDE_KAFKA_SASL_USERNAME="stranger")
    assert code == 5
    assert "CREATE" in err


def test_a_client_that_does_not_log_in_is_told_about_the_protocol(guarded: str) -> None:
    done = tokentide("wait", environ={"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": guarded})
    assert done.returncode == 3
    assert "kafka.security_protocol to SASL_PLAINTEXT" in done.stderr


def test_the_doctor_tells_password_certificate_and_protocol_apart(
    brokers: tuple[str, str, Certificate], tmp_path: Path
) -> None:
    login, tls, _ = brokers
    other = new_certificate(tmp_path, "other")

    def remedy(address: str, **settings: str) -> str:
        environ = {"TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": address, **settings}
        done = tokentide("doctor", "--json", environ=environ)
        assert "c4nary" not in done.stdout + done.stderr
        (found,) = [f for f in json.loads(done.stdout)["findings"] if f["area"] == "kafka"]
        assert (found["check"], found["status"]) == ("brokers", "fail")
        return str(found["remedy"])

    assert "kafka.sasl_password" in remedy(login, **LOGIN | {"TOKENTIDE_KAFKA_SASL_PASSWORD": "other-c4nary"})
    with_other = {"SECURITY_PROTOCOL": "SSL", "TLS_CA_FILE": str(other.certificate)}
    authority = remedy(tls, **{f"TOKENTIDE_KAFKA_{name}": value for name, value in with_other.items()})
    assert "kafka.tls_ca_file" in authority
    assert "kafka.security_protocol to SSL" in remedy(tls)
