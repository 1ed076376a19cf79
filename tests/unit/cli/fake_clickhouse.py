"""A server that answers as told, in place of ClickHouse."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tokentide.cli.clickhouse_http import ClickHouseHttp
from tokentide.config import ClickHouseSettings, parse_clickhouse_url


@dataclass
class Answer:
    """What the server says to one request."""

    body: bytes = b"1\n"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    breaks_off: bool = False
    """Ends the connection in the middle of a chunked body."""
    pieces: tuple[bytes, ...] | None = None
    """The body in several chunks, each sent on its own."""


@dataclass
class Request:
    """What the server was asked."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def arguments(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}


class Server:
    """Answers in the order given, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self.answers = list(answers) or [Answer()]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                outer.answer(self, Request(self.path, dict(self.headers), self.rfile.read(length).decode()))

            def do_GET(self) -> None:
                outer.answer(self, Request(self.path, dict(self.headers), ""))

            def log_message(self, *_: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in filter(None, answer.pieces or (answer.body,)):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
            time.sleep(0.02 if answer.pieces else 0)
        if answer.breaks_off:
            handler.close_connection = True
            return
        handler.wfile.write(b"0\r\n\r\n")

    @contextmanager
    def running(self) -> Iterator[ClickHouseHttp]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self.client()
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def client(self) -> ClickHouseHttp:
        url = parse_clickhouse_url(f"http://ann:c%40nary@127.0.0.1:{self.port}/metrics")
        return ClickHouseHttp(ClickHouseSettings(url=url))
