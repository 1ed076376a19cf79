"""The native path: the package `tokentide-native` reads a batch in one pass; what it will not vouch for is judged by the reference.

It is never laxer than the reference, and keeps nothing between batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas import limits
from tokentide.schemas.arrow import arrow_type
from tokentide.schemas.call import CONTAINMENT
from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.fields import ColumnKind
from tokentide.schemas.part import PART_TYPES
from tokentide.stream.decode.batch import Decoded, Flat, TableBuilder
from tokentide.stream.decode.reference import WITH_DEFAULT, decode_line, decode_record
from tokentide.stream.decode.rows import NAMES, NO_ROWS, Judged, Rows, in_log_order

if TYPE_CHECKING:
    from tokentide_native import Decoder as Engine
    from tokentide_native import TableBuilder as EngineBuilder

INTERFACE: Final = 2
"""Of `tokentide_native` as it is used here."""

_KINDS: Final[Mapping[ColumnKind, str]] = {
    "text": "text",
    "id": "text",
    "count": "count",
    "ms": "float",
    "fraction": "float",
    "number": "float",
    "money": "money",
    "flag": "flag",
    "timestamp": "time",
    "texts": "texts",
    "labels": "labels",
    "content": "content",
}
_COLUMNS: Final = call_columns()
_PLACES: Final = {column.name: place for place, column in enumerate(_COLUMNS)}
_CODES: Final = pa.dictionary(pa.int32(), pa.string())


class NativeDecoder:
    """Decodes batches of records with the native engine; `engine_of` makes one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of consecutive records. Refuses items; never raises for what they hold.

        Raises:
            tokentide_native.PanicError: the engine has a defect; nothing was decoded.
            ValueError: more than 256 MiB.
        """
        columns, record, item, unknown, others, odd_items, odd_records = self._engine.decode(values)
        rows = _rows(columns, record, item, unknown)
        judged = Judged()
        for place, index, value in odd_items:
            judged.take(place, decode_line(index, value))
        for place in odd_records:
            judged.take(place, decode_record(values[place]))
        return in_log_order([rows], others, judged)

    def table_builder(self) -> TableBuilder:
        """Something that makes a table of events by flat values."""
        return _NativeTable(self._engine.table_builder())


class _NativeTable:
    def __init__(self, builder: EngineBuilder) -> None:
        self._builder = builder

    def add(self, rows: Sequence[Flat]) -> None:
        self._builder.add(rows)

    def table(self) -> pa.Table:
        return _table(*self._builder.columns())


def engine_of(native: Any, **options: bytes) -> Engine:
    """Hand the contract over to the module `tokentide_native`."""
    engine: Engine = native.Decoder(
        [_spec(column) for column in _COLUMNS],
        [
            (
                [_PLACES[part] for part in rule.parts],
                _PLACES[rule.whole],
                (_PLACES["cache_reporting"], "exclusive") if rule.inclusive_only else None,
            )
            for rule in CONTAINMENT
        ],
        (
            limits.MAX_RECORD_BYTES,
            limits.MAX_ITEMS_PER_RECORD,
            limits.MAX_DEPTH,
            limits.MAX_LIST,
            limits.MAX_LABELS,
            limits.MAX_LABEL_KEY,
        ),
        sorted(PART_TYPES),
        [_PLACES[column.name] for column in _COLUMNS if column.required],
        [_PLACES["request_id"]],
        [_PLACES["quality_score"], _PLACES["quality_label"]],
        **options,
    )
    return engine


def _spec(column: Column) -> tuple[str, Sequence[str], str, float | None, float, Sequence[str], bool, str]:
    kind = "name" if column.name in NAMES else _KINDS[column.kind]
    return (
        column.name,
        column.path,
        kind,
        column.limit,
        float("-inf") if column.kind == "number" else column.minimum,
        column.choices or (),
        column.path[0] in EvaluationEvent.model_fields,
        "default" if column.name in WITH_DEFAULT else "",
    )


class _Type(NamedTuple):
    """A column behind the engine's number for it."""

    name: str
    arrow: pa.DataType


_TYPES: Final = (
    *(_Type(c.name, _CODES if c.name in NAMES else arrow_type(c)) for c in _COLUMNS),
    *(_Type(f"{c.name}_is_messages", pa.bool_()) for c in _COLUMNS if c.kind == "content"),
)


def _rows(columns: Sequence[tuple[int, Any]], record: bytes, item: bytes, unknown: bytes) -> Rows:
    places = np.frombuffer(record, np.int32)
    if not len(places):
        return NO_ROWS
    table = _table(columns, len(places))
    return Rows(table, places, np.frombuffer(item, np.int32), np.frombuffer(unknown, np.int32))


def _table(columns: Sequence[tuple[int, Any]], rows: int) -> pa.Table:
    names = [_TYPES[place].name for place, _ in columns]
    return pa.Table.from_arrays(
        [_array(_TYPES[place].arrow, rows, column) for place, column in columns], names
    )


def _array(kind: pa.DataType, rows: int, column: Any) -> Any:
    nulls, validity, own, inner = column
    buffers = [None if validity is None else pa.py_buffer(validity), *map(pa.py_buffer, own)]
    texts = [
        pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
        for count, offsets, data in inner
    ]
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_buffers(kind, rows, buffers, texts[0], nulls)
    if pa.types.is_map(kind):
        pairs = pa.StructArray.from_arrays(texts, fields=[kind.key_field, kind.item_field])
        return pa.Array.from_buffers(kind, rows, buffers, nulls, children=[pairs])
    return pa.Array.from_buffers(kind, rows, buffers, nulls, children=texts)
