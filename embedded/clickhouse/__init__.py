"""The embedded ClickHouse server: the real engine (`chdb`), in a process of its own, on the HTTP interface.

`python -m tokentide.embedded.clickhouse --data-dir DIR --port N` serves clickhouse-connect, `curl` and Grafana
as a server would; what differs is in `docs/decisions/0003-embedded-clickhouse-over-http.md`. This package itself
imports the standard library only.
"""

from tokentide.embedded.clickhouse.launch import ExitCode, Ready, StartFailure, command, parse_start_line

__all__ = ["ExitCode", "Ready", "StartFailure", "command", "parse_start_line"]
