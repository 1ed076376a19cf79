"""The server with raw connections: what it answers, and what a bad client costs it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import structlog
from structlog.testing import capture_logs

from tests.support.waiting import HANGING_S
from tokentide.stream import metrics_http
from tokentide.stream.exits import Exit, exit_for
from tokentide.stream.metrics_http import MetricsAddressError, MetricsServer

Send = Callable[[bytes], Awaitable[bytes]]
TEXT = "tokentide_held_rows 7\n"


class Stand:
    """A server, and how to talk to it."""

    def __init__(self) -> None:
        self.is_healthy = True
        self.asked = 0
        self.port = 0

    def exposition(self) -> str:
        self.asked += 1
        return TEXT

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, request: bytes) -> bytes:
        """Send bytes, and read until the server closes the connection."""
        reader, writer = await self.open()
        writer.write(request)
        try:
            return await read_all(reader)
        finally:
            writer.close()

    async def noticed(self) -> None:
        """Give the server a moment to notice what its clients did."""
        await asyncio.sleep(0.01)

    async def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        answer = (await self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split(" ", 2)[1]), body


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end; a connection that is cut off ends too."""
    received = bytearray()
    try:
        while piece := await reader.read(65_536):
            received += piece
    except ConnectionError:
        pass
    return bytes(received)


@asynccontextmanager
async def serving() -> AsyncIterator[Stand]:
    stand = Stand()
    server = MetricsServer(stand.exposition, lambda: stand.is_healthy)
    stand.port = urlsplit(await server.start("127.0.0.1", 0)).port or 0
    try:
        yield stand
    finally:
        await server.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(HANGING_S):
            await scenario()

    asyncio.run(bounded())


def test_metrics_are_served_as_prometheus_asks_for_them() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            answer = (
                await stand.send(b"GET /metrics?a=b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
            ).decode()
            head, _, body = answer.partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 OK\r\n")
            assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
            assert body == TEXT

    run(scenario)


def test_head_has_no_body() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            assert await stand.get("/metrics", "HEAD") == (200, "")

    run(scenario)


def test_health_is_that_of_the_worker() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            assert await stand.get("/healthz") == (200, "ok\n")
            stand.is_healthy = False
            assert await stand.get("/healthz") == (503, "ending\n")

    run(scenario)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_sent(method: str) -> None:
    async def scenario() -> None:
        async with serving() as stand:
            assert (await stand.get("/metrics", method))[0] == 405

    run(scenario)


def test_there_is_nothing_else() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            assert (await stand.get("/"))[0] == 404
            assert (await stand.get("/metrics/../healthz"))[0] == 404

    run(scenario)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 3_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 5_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["long path", "long header", "many headers", "TLS"],
)
def test_a_request_that_is_none_is_refused_and_not_worth_a_line(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving() as stand:
            assert (await stand.send(request_)).startswith(b"HTTP/1.0 400 ")
            assert stand.asked == 0
            assert (await stand.get("/metrics"))[0] == 200

    run(scenario)
    assert not caplog.records


def test_a_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_http, "_CONNECTION_S", 0.2)

    async def scenario() -> None:
        async with serving() as stand:
            answer = await stand.send(
                b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
            )
            assert answer.startswith(b"HTTP/1.1 200 OK")

    run(scenario)


def test_a_connection_serves_one_request() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            await stand.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            assert stand.asked == 1

    run(scenario)


@pytest.mark.parametrize("begin", [b"", b"GET /metrics HTTP/1.1\r\nHost"], ids=["silent", "in the middle"])
def test_a_client_that_sends_nothing_more_is_cut_off(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(metrics_http, "_CONNECTION_S", 0.05)

    async def scenario() -> None:
        async with serving() as stand:
            assert await stand.send(begin) == b""

    run(scenario)


def test_a_client_that_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_http, "_CONNECTION_S", 0.2)

    async def scenario() -> None:
        async with serving() as stand:
            reader, writer = await stand.open()

            async def trickle() -> None:
                while True:
                    writer.write(b"X: y\r\n")
                    await asyncio.sleep(0.01)

            writer.write(b"GET /metrics HTTP/1.1\r\n")
            trickling = asyncio.create_task(trickle())
            await read_all(reader)
            trickling.cancel()
            writer.close()
            assert stand.asked == 0

    run(scenario)


def test_connections_are_few_at_once() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            most = metrics_http._MOST_CONNECTIONS
            opened = [await stand.open() for _ in range(most)]
            for reader, writer in opened:
                writer.write(b"GET")
                await writer.drain()
                assert not reader.at_eof()
            extra, extra_writer = await stand.open()
            assert await read_all(extra) == b""
            assert not any(reader.at_eof() for reader, _ in opened), "the others are not closed for it"
            for _, writer in [*opened, (extra, extra_writer)]:
                writer.close()
            async with asyncio.timeout(HANGING_S):
                while await stand.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b"":
                    await stand.noticed()

    run(scenario)


def test_a_defect_in_a_value_is_an_answer_of_500_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        def broken() -> str:
            raise ZeroDivisionError

        server = MetricsServer(broken, lambda: True)
        stand = Stand()
        stand.port = urlsplit(await server.start("127.0.0.1", 0)).port or 0
        with capture_logs() as lines:
            monkeypatch.setattr(metrics_http, "log", structlog.get_logger())
            assert await stand.get("/metrics") == (500, "see the worker's log\n")
        assert [line["event"] for line in lines] == ["metrics cannot be told"]
        assert (await stand.get("/healthz"))[0] == 200
        await server.close()

    run(scenario)


def answered(
    *lines: str, allowed_hosts: tuple[str, ...] = (), host: str = "127.0.0.1", version: str = "1.1"
) -> int:
    """The status of a scrape with these header lines."""
    found: list[int] = []

    async def scenario() -> None:
        stand = Stand()
        server = MetricsServer(stand.exposition, lambda: True, allowed_hosts=allowed_hosts)
        stand.port = urlsplit(await server.start(host, 0)).port or 0
        head = "".join(f"{line}\r\n" for line in lines)
        answer = (await stand.send(f"GET /metrics HTTP/{version}\r\n{head}\r\n".encode())).decode()
        found.append(int(answer.split(" ", 2)[1]))
        assert (stand.asked == 1) == (found[0] == 200)
        assert "evil" not in answer, "nothing of the request is repeated"
        await server.close()

    run(scenario)
    return found[0]


MACHINE = socket.gethostname()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9100", "10.1.2.3:9100", "[::1]:9100", "[::1]", "localhost", "LOCALHOST:9100",
     "metrics.localhost", "localhost.", MACHINE, f"{MACHINE.upper()}:9100", MACHINE.partition(".")[0]],
)  # fmt: skip
def test_addresses_and_the_names_of_this_machine_are_answered(host: str) -> None:
    assert answered(f"Host: {host}") == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9100", "127.0.0.1.evil.example", "localhost.evil.example", "evil", "[evil]", "evil@127.0.0.1",
     f"{MACHINE}.evil.example"],
)  # fmt: skip
def test_another_name_may_be_one_that_a_web_page_has_pointed_here(host: str) -> None:
    assert answered(f"Host: {host}") == 403


def test_a_client_without_a_host_is_no_browser() -> None:
    assert answered(version="1.0") == 200


def test_names_that_prometheus_asks_by_can_be_allowed() -> None:
    allowed = ("worker-1", ".llm.svc.cluster.local")
    assert answered("Host: worker-1:9100", allowed_hosts=allowed) == 200
    assert answered("Host: Worker-1.:9100", allowed_hosts=allowed) == 200
    assert answered("Host: a.llm.svc.cluster.local", allowed_hosts=allowed) == 200
    assert answered("Host: llm.svc.cluster.local", allowed_hosts=allowed) == 403
    assert answered("Host: worker-2", allowed_hosts=allowed) == 403
    assert answered("Host: anything.evil.example", allowed_hosts=("*",)) == 200


def test_a_name_that_it_listens_on_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def to_loopback(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", to_loopback)
    assert answered("Host: metrics.internal", host="metrics.internal") == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: 127.0.0.1:9100", "Origin: http://127.0.0.1:9100"], 200),
        (["Host: 127.0.0.1:9100", "Sec-Fetch-Site: none"], 200),
        (["Host: 127.0.0.1:9100", "Origin: http://evil.example"], 403),
        (["Host: 127.0.0.1:9100", "Origin: http://127.0.0.1:3000"], 403),
        (["Host: 127.0.0.1:9100", "Origin: null"], 403),
        (["Host: 127.0.0.1:9100", "Origin: http://[evil"], 403),
        (["Host: 127.0.0.1:9100", "Sec-Fetch-Site: cross-site"], 403),
        (["Host: 127.0.0.1:9100", "Sec-Fetch-Site: same-site"], 403),
    ],
)
def test_what_a_browser_asks_for_another_sites_page_is_refused(lines: list[str], status: int) -> None:
    assert answered(*lines) == status
    assert answered(*lines, allowed_hosts=("*",)) == status


def test_a_refused_name_is_told_once_in_the_log_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving() as stand:
            with capture_logs() as lines:
                monkeypatch.setattr(metrics_http, "log", structlog.get_logger())
                for host in ("worker-1:9100", "worker-1:9100", "\x1b[2J", "other"):
                    await stand.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        (line,) = lines
        assert line["host"] == "worker-1"
        assert "metrics.allowed_hosts" in line["remedy"]

    run(scenario)


def test_after_its_end_nobody_answers() -> None:
    async def scenario() -> None:
        async with serving() as stand:
            pass
        with pytest.raises(ConnectionRefusedError):
            await stand.open()

    run(scenario)


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = MetricsServer(str, lambda: True)
            with pytest.raises(MetricsAddressError) as caught:
                await server.start("127.0.0.1", port)
            await server.close()
        assert f"127.0.0.1:{port}: another program listens there" in str(caught.value)
        assert "metrics.port" in str(caught.value)
        assert exit_for(caught.value)[0] is Exit.SETTINGS

    run(scenario)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 300])
def test_a_host_of_another_machine_is_named_with_the_remedy(host: str) -> None:
    async def scenario() -> None:
        with pytest.raises(MetricsAddressError, match=r"set metrics\.host to one"):
            await MetricsServer(str, lambda: True).start(host, 0)

    run(scenario)


def test_an_address_of_ipv6_is_written_as_one() -> None:
    async def scenario() -> None:
        server = MetricsServer(str, lambda: True)
        try:
            address = await server.start("::1", 0)
        except MetricsAddressError:
            pytest.skip("this machine has no IPv6 loopback address")
        assert address.startswith("http://[::1]:")
        await server.close()

    run(scenario)
