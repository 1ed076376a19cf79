"""`python -m tokentide.embedded.clickhouse`: reads the arguments and serves."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tokentide.embedded.clickhouse.launch import MODULE, ExitCode, StartFailure
from tokentide.embedded.clickhouse.options import (
    MEBIBYTE,
    ReaderLimits,
    ServerOptions,
    UsageError,
    read_password,
)

_EPILOG = """\
Users: `default` may do everything inside the data directory, `reader` may only read, within limits.

  curl 'http://127.0.0.1:8123/?query=SELECT+version()'
  curl 'http://127.0.0.1:8123/?user=reader' --data-binary 'SELECT count() FROM tokentide.events'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(level=given.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    try:
        options = _options(given).checked()
    except UsageError as error:
        return _fail("usage", str(error), ExitCode.USAGE)
    missing = [name for name in ("aiohttp", "lz4") if importlib.util.find_spec(name) is None]
    if missing:
        message = f"{' and '.join(missing)} is not installed: pip install 'tokentide[embedded]'"
        return _fail("engine_missing", message, ExitCode.ENGINE_MISSING)
    from tokentide.embedded.clickhouse.server import run  # noqa: PLC0415 - heavy, and of an extra

    return int(run(options))


def _fail(reason: str, message: str, code: ExitCode) -> int:
    sys.stdout.write(StartFailure(reason=reason, message=message).line())
    sys.stdout.flush()
    sys.stderr.write(f"cannot start: {message}\n")
    return int(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description="Serve the ClickHouse engine of this Python on the ClickHouse HTTP interface.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = ServerOptions(data_dir=Path(), port=0)
    limits = defaults.reader
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, metavar="DIR", help="where the data is; made if missing")
    add("--port", type=int, required=True, metavar="N", help="0: any free port; the start line tells which")
    add("--host", default=defaults.host, help="address to listen on (%(default)s); others need a password")
    add("--password-file", type=Path, metavar="FILE", help="first line: the password of user default")
    add("--reader-password-file", type=Path, metavar="FILE", help="first line: the password of user reader")
    add("--parent-pid", type=int, metavar="PID", help="end when this process is gone")
    add("--max-memory-mb", type=int, default=0, metavar="N", help="of the engine; 0: half of the machine's")
    add("--max-concurrent-queries", type=int, default=defaults.max_concurrent_queries, metavar="N")
    add(
        "--max-body-mb",
        type=int,
        default=defaults.max_body_bytes // MEBIBYTE,
        metavar="N",
        help="of one insert",
    )
    add("--receive-timeout-s", type=float, default=defaults.receive_timeout_s, metavar="S")
    add("--send-timeout-s", type=float, default=defaults.send_timeout_s, metavar="S")
    add("--shutdown-grace-s", type=float, default=defaults.shutdown_grace_s, metavar="S")
    add("--timezone", default=defaults.timezone, metavar="NAME", help="of the engine (%(default)s)")
    add("--reader-max-execution-s", type=float, default=limits.max_execution_s, metavar="S")
    add("--reader-max-memory-mb", type=int, default=limits.max_memory_bytes // MEBIBYTE, metavar="N")
    add("--reader-max-result-rows", type=int, default=limits.max_result_rows, metavar="N")
    add("--reader-max-result-mb", type=int, default=limits.max_result_bytes // MEBIBYTE, metavar="N")
    add(
        "--reader-max-threads",
        type=int,
        default=limits.max_threads,
        metavar="N",
        help="of one statement (half of the cores: %(default)s)",
    )
    add("--reader-max-concurrent", type=int, default=defaults.max_concurrent_readers, metavar="N")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="warning")
    return parser


def _options(given: argparse.Namespace) -> ServerOptions:
    def password(file: Path | None, option: str) -> str:
        return read_password(file, option) if file else ""

    return ServerOptions(
        data_dir=given.data_dir,
        port=given.port,
        host=given.host,
        password=password(given.password_file, "--password-file"),
        reader_password=password(given.reader_password_file, "--reader-password-file"),
        parent_pid=given.parent_pid,
        max_memory_bytes=given.max_memory_mb * MEBIBYTE,
        max_concurrent_queries=given.max_concurrent_queries,
        max_body_bytes=given.max_body_mb * MEBIBYTE,
        max_concurrent_readers=given.reader_max_concurrent,
        receive_timeout_s=given.receive_timeout_s,
        send_timeout_s=given.send_timeout_s,
        shutdown_grace_s=given.shutdown_grace_s,
        timezone=given.timezone,
        reader=ReaderLimits(
            max_execution_s=given.reader_max_execution_s,
            max_memory_bytes=given.reader_max_memory_mb * MEBIBYTE,
            max_result_rows=given.reader_max_result_rows,
            max_result_bytes=given.reader_max_result_mb * MEBIBYTE,
            max_threads=given.reader_max_threads,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
