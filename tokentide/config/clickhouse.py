"""The arguments of a ClickHouse client, from the one settings object."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from tokentide.config.settings import ClickHouseSettings


class ClickHouseArguments(TypedDict):
    """What `clickhouse_connect.get_client` takes."""

    host: str
    port: int
    username: str
    password: str
    secure: bool
    connect_timeout: int
    send_receive_timeout: int
    database: NotRequired[str]
    ca_cert: NotRequired[str]


def clickhouse_arguments(
    clickhouse: ClickHouseSettings, *, with_database: bool = True
) -> ClickHouseArguments:
    """Return the arguments for clickhouse-connect; the password is in clear, keep them out of logs.

    Args:
        clickhouse: the settings.
        with_database: False connects to the user's default database: ours may not exist yet.
    """
    url = clickhouse.url
    arguments: ClickHouseArguments = {
        "host": url.host,
        "port": url.port,
        "username": url.user,
        "password": url.password.get_secret_value(),
        "secure": url.is_secure,
        "connect_timeout": max(1, round(clickhouse.connect_timeout_seconds)),
        "send_receive_timeout": max(1, round(clickhouse.request_timeout_seconds)),
    }
    if with_database:
        arguments["database"] = url.database
    if clickhouse.tls_ca_file is not None:
        arguments["ca_cert"] = str(clickhouse.tls_ca_file)
    return arguments
