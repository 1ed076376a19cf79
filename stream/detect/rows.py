"""Records of the windows topic as numbers: which part of the log, which series, which minute, and the measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide.schemas.aggregates import DIMENSIONS, WINDOW_SECONDS
from tokentide.schemas.arrow import WINDOW_ROWS
from tokentide.stream.decode.arrays import numbers
from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.detect.measures import COUNTED, PICOUSD_PER_MICROUSD, PICOUSD_PER_USD, PRICED, WIDTH
from tokentide.stream.grouping import encode, group, one_chunk

_SPAN: Final = ("source", "source_partition", "segment", "first_offset", "fold")
_COLUMNS: Final = (*_SPAN, "version", "window_start", *DIMENSIONS, *COUNTED, PRICED)
_FEW: Final = pa.schema([WINDOW_ROWS.field(name) for name in _COLUMNS])

_MOST_PICOUSD: Final = 10**9 * PICOUSD_PER_USD
"""A partial that costs more counts as a billion dollars: thousands of them still add up within 64 bits."""


class Base(NamedTuple):
    """A part of a log that partials speak for."""

    source: str
    partition: int
    segment: int
    first_offset: int


class Fold(NamedTuple):
    """A base and what it was computed with; only one fold of a base counts."""

    base: Base
    fold: int


Series = tuple[str, ...]
"""The values of `DIMENSIONS`, in that order."""


class PartialRows(NamedTuple):
    """Partials as columns of equal length; folds and series as codes."""

    folds: Sequence[Fold]
    fold: Int64s
    series_names: Sequence[Series]
    series: Int64s
    minute: Int64s
    """Since 1970 UTC."""
    version: Int64s
    values: Int64s
    """One row of `WIDTH` measures each."""

    @property
    def row_count(self) -> int:
        """Rows."""
        return len(self.minute)

    def only(self, wanted: Bools) -> PartialRows:
        """Some of the rows; all folds and series keep their codes."""
        columns = (self.series[wanted], self.minute[wanted], self.version[wanted], self.values[wanted])
        return PartialRows(self.folds, self.fold[wanted], self.series_names, *columns)


class NotPartialsError(Exception):
    """A record of the windows topic holds something else."""


class PartialDecoder:
    """Decodes records; remembers the schemas it has met, since reading one costs more than the rows."""

    def __init__(self) -> None:
        self._schemas: dict[bytes, _Picked] = {}

    def decode(self, value: bytes) -> pa.Table:
        """The few columns of a record that detection needs; a column that an older worker did not have is all 0.

        Raises:
            NotPartialsError: it holds no partials; nothing of it can be used.
        """
        try:
            return self._decode(value)
        except (pa.ArrowException, OSError, StopIteration) as error:
            raise NotPartialsError(f"not window partials ({type(error).__name__})") from error

    def _decode(self, value: bytes) -> pa.Table:
        messages = pa.ipc.MessageReader.open_stream(value)
        first = messages.read_next_message()
        picked = self._picked(first)
        batches = [picked.pick(pa.ipc.read_record_batch(message, picked.schema)) for message in messages]
        return pa.Table.from_batches(batches, _FEW)

    def _picked(self, message: Any) -> _Picked:
        key = message.metadata.to_pybytes()
        if key not in self._schemas:
            self._schemas[key] = _Picked.of(pa.ipc.read_schema(message))
        return self._schemas[key]


class _Picked(NamedTuple):
    """A schema that was met, and where the columns are in it."""

    schema: Any
    places: tuple[int | None, ...]

    @classmethod
    def of(cls, schema: Any) -> _Picked:
        for field in _FEW:
            place = schema.get_field_index(field.name)
            wrong = (
                field.name not in (*COUNTED, PRICED) if place < 0 else schema.field(place).type != field.type
            )
            if wrong:
                raise NotPartialsError(
                    f"not window partials: the column {field.name} is missing or of another type"
                )
        found = (schema.get_field_index(name) for name in _COLUMNS)
        return cls(schema, tuple(place if place >= 0 else None for place in found))

    def pick(self, batch: Any) -> Any:
        columns = [
            batch.column(place) if place is not None else pa.repeat(pa.scalar(0, field.type), batch.num_rows)
            for place, field in zip(self.places, _FEW, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=_FEW)


def partial_rows(tables: Iterable[pa.Table]) -> PartialRows:
    """Decoded records as one; there is at least one."""
    table = pa.concat_tables(tables).combine_chunks()
    folds, fold = _folds(table)
    encoded = [encode(table, name) for name in DIMENSIONS]
    varying = [column.codes for column in encoded if len(column.texts) > 1] or [encoded[0].codes]
    groups = group(varying)
    # Column by column, since there may be as many series as rows.
    texts = [map(column.texts.__getitem__, column.codes[groups.first_row].tolist()) for column in encoded]
    names = list(zip(*texts, strict=True))
    minute = _integers(table, "window_start") // WINDOW_SECONDS
    return PartialRows(folds, fold, names, groups.of_row, minute, _integers(table, "version"), _values(table))


def _folds(table: pa.Table) -> tuple[list[Fold], Int64s]:
    source = encode(table, "source")
    of_base = [_integers(table, name) for name in ("source_partition", "segment", "first_offset")]
    fold = one_chunk(table, "fold").view(pa.int64()).to_numpy()
    groups = group([source.codes, *of_base, fold])
    first = groups.first_row
    columns = [column[first].tolist() for column in (source.codes, *of_base, fold.view(np.uint64))]
    found = [
        Fold(Base(source.texts[code], partition, segment, offset), number)
        for code, partition, segment, offset, number in zip(*columns, strict=True)
    ]
    return found, groups.of_row


def _integers(table: pa.Table, name: str) -> Int64s:
    return cast("Int64s", one_chunk(table, name).to_numpy(zero_copy_only=False).astype(np.int64))


def _values(table: pa.Table) -> Int64s:
    values = np.empty((table.num_rows, WIDTH), np.int64)
    for place, name in enumerate(COUNTED):
        values[:, place] = numbers(one_chunk(table, name)).values
    values[:, -2:] = _money(one_chunk(table, PRICED))
    return values


def _money(column: Any) -> npt.NDArray[np.int64]:
    """Whole microdollars and the rest; rows above 9 million USD one by one."""
    words = np.frombuffer(column.buffers()[1], np.int64)[2 * column.offset :][: 2 * len(column)]
    low, high = words[::2], words[1::2]
    parts = np.stack(np.divmod(low, PICOUSD_PER_MICROUSD), axis=1)
    for row in np.flatnonzero((high != 0) | (low < 0)).tolist():
        picousd = (int(high[row]) << 64) + int(low.view(np.uint64)[row])
        parts[row] = divmod(min(picousd, _MOST_PICOUSD), PICOUSD_PER_MICROUSD)
    return parts
