"""What the tests of decoders share: which there are, and what it means that two results are the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tokentide.stream.decode.batch import Decoded, Other, OtherEvent
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.decode.native import NativeDecoder, engine_of

Decode = Callable[[Sequence[bytes | None]], Decoded]


def _decoders() -> Mapping[str, Callable[[], Decode]]:
    found: dict[str, Callable[[], Decode]] = {"python": lambda: Decoder().decode}
    try:
        native = import_module("tokentide_native")
    except ImportError:
        if os.environ.get("TOKENTIDE_REQUIRE_NATIVE"):
            raise
        return found
    # Without the spare one that a worker has, so that a defect is seen.
    return found | {"native": lambda: NativeDecoder(engine_of(native)).decode}


DECODERS: Final = _decoders()
"""By name, how to make one; each has to do what the reference path does. The native one is left out where it is not built."""


def comparable(decoded: Decoded) -> dict[str, list[Any]]:
    """The columns that are not empty; floats as text, because 0.0 and -0.0 are equal, times as numbers: Python ends with 9999."""
    columns = {
        name: (values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_pylist()
        for name, values in zip(decoded.table.column_names, decoded.table.columns, strict=True)
        if values.null_count < len(values)
    }
    return {
        name: [repr(value) if isinstance(value, float) else value for value in values]
        for name, values in columns.items()
    }


def _exactly(other: Other) -> OtherEvent:
    """Values as text, because 0.0 and -0.0, 1 and True are equal; in which order columns stand means nothing."""
    values = {name: repr(value) for name, value in other.values.items()}
    assert (other.event_id, other.timestamp_us) == (other.values["event_id"], other.values["timestamp"])
    return OtherEvent(other.record, other.item, other.kind, values, other.unknown_fields)


def assert_same(fast: Decoded, slow: Decoded) -> None:
    """Bit for bit, but for columns without any value, which may be there or not."""
    assert list(fast.refusals) == list(slow.refusals)
    assert [_exactly(other) for other in fast.others] == [_exactly(other) for other in slow.others]
    for places in ("record", "item", "unknown_fields"):
        assert getattr(fast, places).dtype == np.int32
        np.testing.assert_array_equal(getattr(fast, places), getattr(slow, places))
    assert comparable(fast) == comparable(slow)
    assert fast.items == slow.items
    for field in fast.table.schema:
        if field.name in slow.table.column_names:
            assert field.type == slow.table.schema.field(field.name).type, field.name
