"""Opens clients of ClickHouse's HTTP interface, for inserts and for the schema.

One place for time-outs, TLS, proxies and the settings of our inserts. clickhouse-connect keeps the password in a
header; its own error texts are cut down to those of the server (no address, no version).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import clickhouse_connect
from clickhouse_connect.driver.httputil import get_pool_manager

from tokentide import __version__

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from tokentide.config import ClickHouseSettings

INSERT_SETTINGS: Final[Mapping[str, object]] = {
    "async_insert": 0,  # on by default since 26: the server would batch again and deduplicate by block
    "max_partitions_per_insert_block": 0,  # one old trace touches more than the 100 months allowed
    "input_format_null_as_default": 1,  # an absent text becomes ''
}
"""Of every insert. Rows are idempotent by their keys, so nothing relies on deduplication tokens."""

TABLE_SETTINGS: Final[Mapping[str, Mapping[str, object]]] = {
    # Merging each inserted block on its own costs the server as much as the rest of the insert (5.0 against 2.4 µs a row)
    # and finds nothing: the worker has dropped the duplicates already. FINAL does not rely on it.
    "llm_events": {"optimize_on_insert": 0},
}


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_client(settings: ClickHouseSettings, *, database: str | None = None) -> Client:
    """Connect, and return a client that any thread may use; close it when done.

    Args:
        settings: address, login and time-outs.
        database: the default database; None means the one of the address. `"default"` is always there, also
            before the migrations have created ours.

    Raises:
        clickhouse_connect.driver.exceptions.ClickHouseError: nobody answers, or the login is wrong.
    """
    url = settings.url
    return clickhouse_connect.get_client(
        interface=url.scheme,
        host=url.host,
        port=url.port,
        username=url.user,
        password=url.password.get_secret_value(),
        database=url.database if database is None else database,
        # Our bodies are compressed by us; answers are small.
        compress=False,
        # Whole seconds are all that it takes; a shorter time-out than asked for would be the wrong way to round.
        connect_timeout=math.ceil(settings.connect_timeout_seconds),
        send_receive_timeout=math.ceil(settings.request_timeout_seconds),
        # A session would allow one query at a time.
        autogenerate_session_id=False,
        # We retry by error code ourselves; what it repeats on its own (a closed keep-alive connection) is harmless.
        query_retries=0,
        show_clickhouse_errors="scrub",
        client_name=f"tokentide/{__version__}",
        ca_cert=str(settings.tls_ca_file) if settings.tls_ca_file else None,
        # A proxy from the environment must not stand between a worker and its own machine.
        **({"pool_mgr": get_pool_manager()} if _skips_proxy(settings) else {"dedicated_pool": True}),
    )


def _skips_proxy(settings: ClickHouseSettings) -> bool:
    return is_loopback(settings.url.host) and settings.tls_ca_file is None
