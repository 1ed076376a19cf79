"""What goes into decoding and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide.schemas.part import PartType
from tokentide.schemas.problems import Problem

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Bytes8 = npt.NDArray[np.uint8]

WHOLE_RECORD = -1
"""Index of a refusal that concerns a record as a whole."""


class Refusal(NamedTuple):
    """One item that was refused: its record's position in the batch, its own in the record, and why."""

    record: int
    item: int
    problem: Problem
    value: bytes | None
    """The refused bytes: of the item where they can be told, else of the record."""


Flat = Mapping[str, object]
"""An event's columns by flat name, those that are known: text, `int`, `float`, `bool`, `Decimal`, a list of texts, or labels
as a mapping. Content is text, and `input_is_messages` (or `output_…`) is true where that is the JSON text of messages."""


OtherKind = PartType | Literal["evaluation"]


class Other(Protocol):
    """A good event that is no call by itself, and where it came from."""

    @property
    def record(self) -> int:
        """Position of its record in the batch."""

    @property
    def item(self) -> int:
        """Its position in the record."""

    @property
    def kind(self) -> OtherKind:
        """What it is."""

    @property
    def unknown_fields(self) -> int:
        """Non-null fields that the contract does not know."""

    @property
    def event_id(self) -> str:
        """Its id."""

    @property
    def timestamp_us(self) -> int:
        """Event time in microseconds since 1970."""

    @property
    def values(self) -> Flat:
        """Those that its type has; may be made anew with each call. Without defaults: what it does not say must not hide what
        its partner says.
        """


class OtherEvent(NamedTuple):
    """An `Other` that has its values at hand."""

    record: int
    item: int
    kind: OtherKind
    values: Flat
    unknown_fields: int

    @property
    def event_id(self) -> str:
        """Its id."""
        return str(self.values["event_id"])

    @property
    def timestamp_us(self) -> int:
        """Event time in microseconds since 1970."""
        time_us = self.values["timestamp"]
        assert isinstance(time_us, int)
        return time_us


@dataclass(frozen=True, slots=True)
class Decoded:
    """The good events of a batch of records, in the order of the log.

    `table` has one row per event and only the columns that occur: contract columns by their flat names
    (`tokentide.schemas.columns`), content as text in `input` and `output`, where messages are their
    JSON text and `input_is_messages` / `output_is_messages` says so. Null means unknown; text is never
    empty.
    """

    table: pa.Table
    record: Int32s
    """Per row: position of its record in the batch."""
    item: Int32s
    """Per row: position in its record, from 0."""
    refusals: Sequence[Refusal]
    """Ordered by record and index."""
    items: int
    """Rows, refusals and others together: what the records held."""
    unknown_fields: Int32s
    """Per row: non-null fields that the contract does not know."""
    others: Sequence[Other] = ()
    """Ordered by record and item; none of them is in the table."""


class TableBuilder(Protocol):
    """Makes the table that `Decoded` describes of events by flat values."""

    def add(self, rows: Sequence[Flat]) -> None:
        """Add rows. They may be forgotten afterwards."""

    def table(self) -> pa.Table:
        """All that was added, in its order; it is empty afterwards."""


class BatchDecoder(Protocol):
    """What decodes."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of consecutive records. Refuses items; never raises for what they hold."""

    def table_builder(self) -> TableBuilder:
        """Something that makes a table of events by flat values."""
