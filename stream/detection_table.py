"""ClickHouse for detection: incidents are written there, and events that show one are looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from tokentide.schemas.aggregates import DIMENSIONS
from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.arrow import MONEY, TIME_US
from tokentide.sinks.kept_client import KeptClient
from tokentide.stream.detect.rules import Examples

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

ANOMALIES_TABLE: Final = "llm_anomalies"
MOST_EXAMPLES: Final = 5

_Result = TypeVar("_Result")

_ROWS: Final = pa.schema(
    [
        ("schema_version", pa.uint16()),
        ("anomaly_id", pa.string()),
        ("revision", pa.uint32()),
        ("state", pa.string()),
        ("rule", pa.string()),
        ("metric", pa.string()),
        ("unit", pa.string()),
        ("severity", pa.string()),
        ("series", pa.map_(pa.string(), pa.string())),
        ("started_at", TIME_US),
        ("updated_at", TIME_US),
        ("resolved_at", TIME_US),
        ("window_start", TIME_US),
        ("window_seconds", pa.uint32()),
        ("value", MONEY),
        ("limit", MONEY),
        ("baseline", MONEY),
        ("samples", pa.int64()),
        ("example_event_ids", pa.list_(pa.string())),
        ("summary", pa.string()),
    ]
)

_SQL_TIME: Final = "%Y-%m-%d %H:%M:%S"
_TIMES: Final = ("started_at", "updated_at", "resolved_at", "window_start")
_NUMBERS: Final = ("value", "limit", "baseline")

_EXAMPLES: Final[dict[Examples, tuple[str, str]]] = {
    "failed": ("status = 'error'", "timestamp"),
    "dearest": ("cost_usd > 0", "cost_usd DESC, timestamp"),
    "without_context": ("context_hit = false AND turn > 1", "timestamp"),
}
"""Condition and order by kind of example."""

_REVISIONS_QUERY: Final = "SELECT anomaly_id, max(revision) FROM llm_anomalies GROUP BY anomaly_id"
_NAMES: Final = ", ".join(f"`{name}`" for name in _ROWS.names)
_OPEN_QUERY: Final = f"SELECT {_NAMES} FROM anomalies WHERE state = 'open'"  # noqa: S608 - names of our own


class Said(NamedTuple):
    """What the table knows of incidents."""

    revisions: dict[str, int]
    open: list[Anomaly]


class Store(Protocol):
    """Inserts; see `tokentide.stream.store.ClickHouseStore`."""

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Return when the rows are stored, however long that takes."""


class AnomalyTable:
    """`llm_anomalies`, and a few event ids of `llm_events`."""

    def __init__(self, store: Store, connect: Callable[[], Client]) -> None:
        self._store = store
        self._client = KeptClient(connect)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anomaly-queries")

    async def insert(self, anomalies: Sequence[Anomaly]) -> None:
        """Return when all are stored, however long ClickHouse is away.

        Raises:
            TerminalSinkError: ClickHouse refuses them for good.
            SinkStoppedError: the worker is stopping.
        """
        # An outage of a provider may open thousands: not in the event loop.
        rows = await asyncio.get_running_loop().run_in_executor(self._thread, anomaly_rows, anomalies)
        await self._store.insert(ANOMALIES_TABLE, rows)

    async def said(self) -> Said:
        """Every incident's last revision, and the open incidents.

        Raises:
            clickhouse_connect.driver.exceptions.ClickHouseError: ClickHouse cannot be asked.
        """
        return await self._asked(_said)

    async def examples(self, anomaly: Anomaly, kind: Examples) -> list[str]:
        """Ids of a few events of the incident's span that show it, the earliest first; perhaps none yet.

        Raises:
            clickhouse_connect.driver.exceptions.ClickHouseError: ClickHouse cannot be asked.
        """
        return await self._asked(lambda client: _examples(client, anomaly, kind))

    async def _asked(self, ask: Callable[[Client], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._client.ask, ask)

    def close(self) -> None:
        """End the thread; a query under way finishes first."""
        self._thread.shutdown(wait=False)


def anomaly_rows(anomalies: Sequence[Anomaly]) -> pa.Table:
    """Rows of `llm_anomalies`."""
    return pa.Table.from_pylist([_row(anomaly) for anomaly in anomalies], schema=_ROWS)


def _row(anomaly: Anomaly) -> dict[str, Any]:
    row = anomaly.model_dump()
    row["series"] = list(anomaly.series.items())
    for name in _TIMES:
        row[name] = None if row[name] is None else datetime.fromisoformat(row[name])
    for name in _NUMBERS:
        row[name] = None if row[name] is None else Decimal(row[name])
    return row


def _anomaly(row: Sequence[Any]) -> Anomaly:
    fields = dict(zip(_ROWS.names, row, strict=True))
    for name in _TIMES:
        time = fields[name]
        # The client gives times of UTC columns without a zone.
        fields[name] = None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name in _NUMBERS:
        number = fields[name]
        fields[name] = None if number is None else f"{number.normalize():f}"
    return Anomaly.model_validate(fields)


def _said(client: Client) -> Said:
    revisions = {str(name): int(revision) for name, revision in client.query(_REVISIONS_QUERY).result_rows}
    return Said(revisions, [_anomaly(row) for row in client.query(_OPEN_QUERY).result_rows])


def _examples(client: Client, anomaly: Anomaly, kind: Examples) -> list[str]:
    condition, order = _EXAMPLES[kind]
    begin = datetime.fromisoformat(anomaly.window_start)
    end = begin + timedelta(seconds=anomaly.window_seconds)
    # An empty dimension may be one that is not in use; the events have it all the same.
    dimensions = {name: value for name, value in anomaly.series.items() if name in DIMENSIONS and value}
    of_series = "".join(f" AND {name} = {{{name}:String}}" for name in dimensions)
    rows = client.query(
        f"SELECT event_id FROM (SELECT event_id, timestamp FROM llm_events"  # noqa: S608 - names from closed sets
        f" WHERE timestamp >= {{begin:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}{of_series}"
        f" AND {condition} AND coalesce(test, false) = false"
        f" ORDER BY {order} LIMIT 1 BY event_id LIMIT {MOST_EXAMPLES}) ORDER BY timestamp, event_id",
        parameters={
            **dimensions,
            # As text: the client would turn a time into that of the machine's zone.
            "begin": begin.strftime(_SQL_TIME),
            "end": end.strftime(_SQL_TIME),
        },
        settings={"max_execution_time": 5},
    ).result_rows
    return [str(row[0]) for row in rows]
