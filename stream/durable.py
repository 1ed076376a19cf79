"""Making a checkpoint durable: the order of writes on which exactness rests.

1. dead letters to Kafka   2. event rows and evaluations to ClickHouse   3. partials to ClickHouse, and to the windows topic
4. the ledger   5. only then the commit, which is the caller's.

Everything written is determined by the log up to the position, so repeating any of it, or all, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.partition import Checkpoint

EVENTS_TABLE = "llm_events"
EVALUATIONS_TABLE = "llm_evaluations"
WINDOWS_TABLE = "llm_windows"
LEDGER_TABLE = "llm_ledger"


class Store(Protocol):
    """ClickHouse, as a checkpoint needs it."""

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Return when all rows are stored; keep trying while that can help.

        Raises whatever ends the worker.
        """


class Letters(Protocol):
    """The topic of dead letters."""

    async def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Return when the broker has acknowledged all of them."""


async def make_durable(checkpoints: Sequence[Checkpoint], store: Store, letters: Letters) -> None:
    """Write checkpoints of several partitions together; return when all of it is durable."""
    await letters.send_letters([letter for checkpoint in checkpoints for letter in checkpoint.letters])
    await _insert(store, EVENTS_TABLE, [rows for checkpoint in checkpoints for rows in checkpoint.rows])
    await _insert(
        store, EVALUATIONS_TABLE, [rows for checkpoint in checkpoints for rows in checkpoint.evaluations]
    )
    await _insert(store, WINDOWS_TABLE, [checkpoint.partials for checkpoint in checkpoints])
    await _insert(store, LEDGER_TABLE, [checkpoint.ledger for checkpoint in checkpoints])


async def _insert(store: Store, table: str, parts: Sequence[pa.Table]) -> None:
    filled = [part for part in parts if part.num_rows]
    if filled:
        await store.insert(table, pa.concat_tables(filled, promote_options="default"))
