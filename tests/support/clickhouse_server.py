"""The embedded ClickHouse server as a process of its own, for tests that talk to it over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from tests.support import children
from tests.support.waiting import HANGING_S, until
from tokentide.embedded.clickhouse import Ready, StartFailure, command, parse_start_line


class Response(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> int:
        """ClickHouse's error code; 0 for none."""
        return int(self.headers.get("X-ClickHouse-Exception-Code", 0))


class ServerProcess:
    """A started server."""

    def __init__(self, process: subprocess.Popen[bytes], ready: Ready, log_file: Path) -> None:
        self.process = process
        self.ready = ready
        self._log_file = log_file

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def connection(self, timeout_s: float = HANGING_S) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.ready.host, self.ready.port, timeout=timeout_s)

    def request(
        self,
        method: str,
        path: str = "/",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        **params: object,
    ) -> Response:
        """Send one request; keyword arguments become URL parameters."""
        target = path + (
            "?" + urlencode({name: str(value) for name, value in params.items()}) if params else ""
        )
        connection = self.connection()
        with contextlib.closing(connection):
            connection.request(method, target, body, dict(headers or {}))  # type: ignore[arg-type]
            answer = connection.getresponse()
            return Response(answer.status, dict(answer.headers.items()), answer.read())

    def get(self, query: str = "", **params: object) -> Response:
        return self.request("GET", query=query, **params) if query else self.request("GET", **params)

    def post(
        self, body: str | bytes = "", headers: Mapping[str, str] | None = None, **params: object
    ) -> Response:
        raw = body.encode() if isinstance(body, str) else body
        return self.request("POST", body=raw, headers=headers, **params)

    def sql(self, statement: str, **params: object) -> str:
        """Run a statement that must succeed; return its text without the last line break."""
        response = self.post(statement, **params)
        assert response.status == 200, response.text
        return response.text.removesuffix("\n")

    def client(self, **arguments: object) -> Client:
        """A clickhouse-connect client."""
        return clickhouse_connect.get_client(host=self.ready.host, port=self.ready.port, **arguments)  # type: ignore[arg-type]

    def wait_until_running(self, fragment: str, count: int = 1) -> None:
        """Wait until so many statements with this text run."""
        until(lambda: self._running(fragment) >= count, f"{count} statements with {fragment!r}")

    def wait_until_gone(self, fragment: str) -> None:
        """Wait until no statement with this text runs any more."""
        until(lambda: self._running(fragment) == 0, f"the end of {fragment!r}")

    def _running(self, fragment: str) -> int:
        question = "SELECT count() FROM system.processes WHERE position(query, {f:String}) AND query NOT LIKE '%processes%'"
        return int(self.sql(question, param_f=fragment))

    def resident_mb(self) -> float:
        """Memory of the process in MiB; Linux."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANGING_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(HANGING_S)


def launch(
    folder: Path, *extra: str, name: str = "data", **arguments: object
) -> ServerProcess | StartFailure:
    """Start a server in a folder; a failure comes back as what the process said."""
    argv = command(data_dir=folder / name, **{"port": 0, "extra": extra, **arguments})  # type: ignore[arg-type]
    log_file = folder / "server.log"
    with log_file.open("ab") as log:
        process = children.start(argv, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    process.stdout.close()
    said = parse_start_line(line)
    if isinstance(said, Ready):
        return ServerProcess(process, said, log_file)
    process.wait(HANGING_S)
    assert said is not None, f"no start line but {line!r}; log: {log_file.read_text()}"
    return said


@contextlib.contextmanager
def running(folder: Path, *extra: str, **arguments: object) -> Iterator[ServerProcess]:
    """A server for the time of a test; killed at the end, because nobody reads its data again."""
    server = launch(folder, *extra, **arguments)
    assert isinstance(server, ServerProcess), server
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
