"""A listener that speaks as much of Kafka's protocol as a client needs until it has logged in, in the open or over TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.certificates import Certificate
from tests.support.waiting import HANGING_S

_METADATA, _HANDSHAKE, _VERSIONS, _AUTHENTICATE = 3, 17, 18, 36
UNSUPPORTED_MECHANISM, ILLEGAL_STATE, LOGIN_FAILED = 33, 34, 58


@dataclass
class KafkaListener:
    """How the listener is set up."""

    tls: Certificate | None = None
    wants_client_certificate: bool = False
    login: tuple[str, str] | None = None
    """User and password that it lets in by mechanism PLAIN; None: it asks for none."""
    says_why: bool = True
    """False: it closes the connection of a wrong login without an answer, as brokers may."""
    is_silent: bool = False
    port: int = 0
    connections: int = field(default=0)

    @property
    def address(self) -> str:
        """For clients."""
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[KafkaListener]:
        """Serve until the end of the block."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
            thread = threading.Thread(target=self._serve, args=(server,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _serve(self, server: socket.socket) -> None:
        workers: list[threading.Thread] = []
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                break
            self.connections += 1
            workers.append(threading.Thread(target=self._connection, args=(connection,)))
            workers[-1].start()
        for worker in workers:
            worker.join()

    def _connection(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):  # ssl.SSLError is an OSError
            connection.settimeout(HANGING_S)
            if self.tls is None:
                self._talk(connection)
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.certificate, self.tls.key)
            if self.wants_client_certificate:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.tls.certificate)
            with context.wrap_socket(connection, server_side=True) as encrypted:
                self._talk(encrypted)

    def _talk(self, connection: socket.socket) -> None:
        is_in = self.login is None
        while True:
            (length,) = struct.unpack(">I", _read(connection, 4))
            if length > 100_000:
                return  # as Kafka does with what is no request, such as the hello of TLS
            request = _read(connection, length)
            key, _, number = struct.unpack(">hhi", request[:8])
            (name_length,) = struct.unpack(">h", request[8:10])
            body = request[10 + name_length :]
            if self.is_silent:
                continue
            if key == _VERSIONS:
                answer = struct.pack(">hi", 0, 0)
            elif key == _HANDSHAKE:
                code = (
                    ILLEGAL_STATE
                    if self.login is None
                    else 0
                    if body[2:] == b"PLAIN"
                    else UNSUPPORTED_MECHANISM
                )
                answer = struct.pack(">hih", code, 1, 5) + b"PLAIN"
            elif key == _AUTHENTICATE:
                _, user, password = body[4:].decode().split("\0")
                is_in = (user, password) == self.login
                if not is_in and not self.says_why:
                    return
                answer = struct.pack(">hhi", 0 if is_in else LOGIN_FAILED, -1, 0)
            elif key == _METADATA and is_in:
                answer = struct.pack(">iihii", 0, 0, -1, 0, 0)
            else:
                return
            reply = struct.pack(">i", number) + answer
            connection.sendall(struct.pack(">I", len(reply)) + reply)


def _read(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        if not (piece := connection.recv(size - len(received))):
            raise EOFError
        received += piece
    return received
