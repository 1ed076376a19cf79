"""Why clients of Kafka get nowhere: they only say that time is over, whether the password, the certificate or the protocol is wrong.

The first requests of a client are made here, one after the other, on a plain socket: connect, TLS, versions, login, metadata.
Where that ends, and how, tells which setting has to be mended. Encoded by kafka-python, whose clients are not used: one that
fails to connect leaves its thread and socket behind.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tokentide.config.kafka import security_arguments, ssl_context
from tokentide.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokentide.config.settings import KafkaSettings

Kind = Literal["address", "protocol", "certificate", "login"]

TIMEOUT_S: Final = 3.0
_LONGEST_S: Final = 6.0
"""No further broker is looked at after it."""
_OBJECTION_WITHIN_S: Final = 0.5
_AGAIN_AFTER_S: Final = 0.3
"""What looks like a wrong setting is looked at twice: a broker that is going down closes connections, too."""
_MOST_SERVERS: Final = 3
_MAX_ANSWER_BYTES: Final = 1_000_000
_METADATA_VERSION: Final = 4
_UNSUPPORTED_MECHANISM: Final = 33
_ILLEGAL_STATE: Final = 34
_WRONG_HOST: Final = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and …_IP_ADDRESS_MISMATCH."""
_OUT_OF_DATE: Final = (9, 10)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong between a client with these settings and a listener. Holds no secret."""

    kind: Kind
    what: str
    """Begins with the address."""
    remedy: str
    """Names the setting."""

    @property
    def may_pass(self) -> bool:
        """Whether it may be over without anything being mended."""
        return self.kind == "address"


class _ClosedError(Exception):
    """The listener ended the connection instead of an answer, or did not answer in Kafka's protocol."""


def diagnose(kafka: KafkaSettings, *, timeout_s: float = TIMEOUT_S) -> Diagnosis | None:
    """What keeps clients from the first brokers of `kafka.bootstrap_servers`; None: nothing, or it cannot be told.

    Sends what a client sends, the login included. Blocks for a few seconds at most.

    Args:
        kafka: the settings.
        timeout_s: for each connection and answer.
    """
    found: list[Diagnosis] = []
    until = time.monotonic() + _LONGEST_S
    for server in kafka.bootstrap_servers[:_MOST_SERVERS]:
        try:
            look = _Look(kafka, server, timeout_s)
            diagnosis = look.diagnosis()
            if diagnosis is not None and not diagnosis.may_pass:
                time.sleep(_AGAIN_AFTER_S)
                diagnosis = look.diagnosis()
        except SettingsError:  # the clients name a file that cannot be used
            return None
        if diagnosis is None:
            return None
        found.append(diagnosis)
        if time.monotonic() > until:
            break
    return next((one for one in found if not one.may_pass), found[0])


class _Look:
    """One look at one listener."""

    def __init__(self, kafka: KafkaSettings, server: str, timeout_s: float) -> None:
        self._kafka = kafka
        self._server = server
        host, _, port = server.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._timeout_s = timeout_s

    def diagnosis(self) -> Diagnosis | None:
        try:
            plain = self._connect()
        except (OSError, UnicodeError) as error:
            return self._no_connection(error)
        with plain:
            if not self._kafka.uses_tls:
                return self._talk(plain)
            context = ssl_context(self._kafka)
            assert context is not None
            try:
                encrypted = context.wrap_socket(plain, server_hostname=self._host)
            except ssl.SSLCertVerificationError as error:
                return self._untrusted(error)
            except OSError as error:
                return self._no_tls(error)
            with encrypted:
                return self._objection(encrypted) or self._talk(encrypted)

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((self._host, self._port), timeout=self._timeout_s)
        connection.settimeout(self._timeout_s)
        return connection

    # the connection

    def _no_connection(self, error: Exception) -> Diagnosis:
        if isinstance(error, (socket.gaierror, UnicodeError)):
            reason = "the name has no address"
        elif isinstance(error, TimeoutError):
            reason = "no connection in time"
        else:
            number = getattr(error, "errno", None)
            reason = os.strerror(number).lower() if number else type(error).__name__
        return self._passing(f"does not answer: {reason}")

    def _passing(self, what: str) -> Diagnosis:
        return self._found(
            "address",
            what,
            "Check TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS (kafka.bootstrap_servers): does Kafka run there, and is it a listener for clients?",
        )

    def _found(self, kind: Kind, what: str, remedy: str) -> Diagnosis:
        return Diagnosis(kind, f"{self._server} {what}", remedy)

    # TLS

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> Diagnosis:
        reason = error.verify_message or "certificate verify failed"
        if error.verify_code in _WRONG_HOST:
            remedy = (
                "Write the name that the certificate has in kafka.bootstrap_servers (and in the brokers' advertised.listeners), or "
                "set kafka.tls_check_hostname to false on a network that you trust."
            )
        elif error.verify_code in _OUT_OF_DATE:
            remedy = "Renew the broker's certificate, and see that this machine's clock is right."
        else:
            remedy = (
                "Set kafka.tls_ca_file to the certificate (PEM) of the authority that signed the broker's."
            )
        return self._found("certificate", f"has a certificate that is not trusted: {reason}", remedy)

    def _objection(self, encrypted: ssl.SSLSocket) -> Diagnosis | None:
        """With TLS 1.3 the broker's no to a client certificate comes after the handshake; a reset may swallow it once we send."""
        encrypted.settimeout(_OBJECTION_WITHIN_S)
        try:
            encrypted.recv(1)
        except TimeoutError:
            encrypted.settimeout(self._timeout_s)
            return None
        except OSError as error:
            if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
                return self._refused_by_alert(error)
        return self._passing("closes the connection after the TLS handshake")

    def _no_tls(self, error: OSError) -> Diagnosis:
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return self._refused_by_alert(error)
        if self._answers_in_the_open():
            protocol = "SASL_PLAINTEXT" if self._kafka.uses_sasl else "PLAINTEXT"
            also = " and kafka.allow_plaintext_sasl to true" if self._kafka.uses_sasl else ""
            return self._found(
                "protocol",
                f"speaks no TLS, and kafka.security_protocol is {self._kafka.security_protocol}",
                f"Name the brokers' TLS listener in kafka.bootstrap_servers, or set kafka.security_protocol to {protocol}{also}.",
            )
        return self._passing("connects and then does not answer, neither with TLS nor without")

    def _refused_by_alert(self, error: ssl.SSLError) -> Diagnosis:
        said = (error.reason or "").lower().replace("_", " ")
        what = (
            "asks for a client certificate, or for another kind of TLS"
            if self._kafka.tls_cert_file is None
            else "refuses the client certificate, or this kind of TLS"
        )
        return self._found(
            "certificate",
            f"{what} ({said})",
            "Set kafka.tls_cert_file and kafka.tls_key_file to a certificate that the brokers trust.",
        )

    def _answers_in_the_open(self) -> bool:
        with suppress(OSError, _ClosedError), self._connect() as plain:
            _Conversation(plain).versions()
            return True
        return False

    def _speaks_tls(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with self._connect() as plain, context.wrap_socket(plain, server_hostname=self._host):
                return True
        except ssl.SSLError as error:
            return "ALERT" in (error.reason or "")  # it objects to something, in TLS
        except OSError:
            return False

    # Kafka's protocol

    def _talk(self, connection: socket.socket) -> Diagnosis | None:
        conversation = _Conversation(connection)
        try:
            conversation.versions()
        except (OSError, _ClosedError) as error:
            return self._no_versions(error)
        try:
            return self._log_in(conversation) if self._kafka.uses_sasl else self._ask(conversation)
        except TimeoutError:
            return self._passing("connects and then does not answer")

    def _no_versions(self, error: Exception) -> Diagnosis:
        if not self._kafka.uses_tls and self._speaks_tls():
            protocol = "SASL_SSL" if self._kafka.uses_sasl else "SSL"
            also = "" if self._kafka.uses_sasl else ", or to SASL_SSL where it asks for a login"
            return self._found(
                "protocol",
                f"expects TLS, and kafka.security_protocol is {self._kafka.security_protocol}",
                f"Set kafka.security_protocol to {protocol}{also}.",
            )
        if isinstance(error, TimeoutError):
            return self._passing("connects and then does not answer")
        return self._passing("closes the connection, or does not speak Kafka's protocol")

    def _ask(self, conversation: _Conversation) -> Diagnosis | None:
        try:
            conversation.metadata()
        except TimeoutError:
            raise
        except (OSError, _ClosedError):
            protocol = "SASL_SSL" if self._kafka.uses_tls else "SASL_PLAINTEXT"
            return self._found(
                "protocol",
                f"lets nobody ask without a login, and kafka.security_protocol is {self._kafka.security_protocol}",
                f"Set kafka.security_protocol to {protocol}, and kafka.sasl_username and kafka.sasl_password.",
            )
        return None

    def _log_in(self, conversation: _Conversation) -> Diagnosis | None:
        kafka = self._kafka
        try:
            error, mechanisms = conversation.handshake(kafka.sasl_mechanism)
            if error == _ILLEGAL_STATE:
                protocol = "SSL" if kafka.uses_tls else "PLAINTEXT"
                return self._found(
                    "protocol",
                    f"asks for no login, and kafka.security_protocol is {kafka.security_protocol}",
                    f"Name the listener with login in kafka.bootstrap_servers, or set kafka.security_protocol to {protocol}.",
                )
            if error == _UNSUPPORTED_MECHANISM:
                return self._found(
                    "login",
                    f"does not log in by {kafka.sasl_mechanism}",
                    f"Set kafka.sasl_mechanism to {' or '.join(mechanisms) or 'one that it has'}.",
                )
            if conversation.is_let_in(kafka):
                return None
        except TimeoutError:
            raise
        except (OSError, _ClosedError):
            pass  # a broker may close the connection of a wrong login instead of an answer
        return self._found(
            "login",
            f"refuses the login of {kafka.sasl_username}",
            "Check kafka.sasl_username, kafka.sasl_password and kafka.sasl_mechanism.",
        )


class _Conversation:
    """Requests and their answers, one at a time.

    Raises, in each method:
        OSError: the connection broke, or no answer came in time (TimeoutError).
        _ClosedError: it was closed, or the answer is none of Kafka.
    """

    def __init__(self, connection: socket.socket) -> None:
        from kafka.protocol.parser import KafkaProtocol  # noqa: PLC0415 - only where something is wrong

        self._connection = connection
        self._protocol = KafkaProtocol(
            client_id="tokentide-diagnosis", receive_message_max_bytes=_MAX_ANSWER_BYTES
        )

    def versions(self) -> None:
        """The first request of every client, which brokers answer to anybody."""
        from kafka.protocol.metadata import ApiVersionsRequest  # noqa: PLC0415 - as above

        self._answer(ApiVersionsRequest(version=0))

    def metadata(self) -> None:
        """A request that brokers answer only to those who have logged in."""
        from kafka.protocol.metadata import MetadataRequest  # noqa: PLC0415 - as above

        self._answer(MetadataRequest(version=_METADATA_VERSION, topics=[], allow_auto_topic_creation=False))

    def handshake(self, mechanism: str) -> tuple[int, list[str]]:
        """Error code, and the mechanisms that the listener has."""
        from kafka.protocol.sasl import SaslHandshakeRequest  # noqa: PLC0415 - as above

        answer = self._answer(SaslHandshakeRequest(version=1, mechanism=mechanism))
        return int(answer.error_code), list(answer.mechanisms or ())

    def is_let_in(self, kafka: KafkaSettings) -> bool:
        """Log in, after the handshake."""
        from kafka.net.sasl import get_sasl_mechanism  # noqa: PLC0415 - as above
        from kafka.protocol.sasl import SaslAuthenticateRequest  # noqa: PLC0415 - as above

        mechanism = get_sasl_mechanism(kafka.sasl_mechanism)(host="", **security_arguments(kafka))
        while not mechanism.is_done():
            answer = self._answer(SaslAuthenticateRequest(version=0, auth_bytes=mechanism.auth_bytes()))
            if answer.error_code:
                return False
            mechanism.receive(answer.auth_bytes)
        return bool(mechanism.is_authenticated())

    def _answer(self, request: Any) -> Any:
        from kafka.errors import KafkaError  # noqa: PLC0415 - as above

        self._protocol.send_request(request)
        self._connection.sendall(self._protocol.send_bytes())
        deadline = time.monotonic() + (self._connection.gettimeout() or TIMEOUT_S)
        for received in self._received():
            try:
                answers = self._protocol.receive_bytes(received)
            except KafkaError as error:
                raise _ClosedError from error
            if answers:
                return answers[0][1]
            if time.monotonic() > deadline:
                raise TimeoutError
        raise _ClosedError

    def _received(self) -> Iterator[bytes]:
        while piece := self._connection.recv(65_536):
            yield piece
