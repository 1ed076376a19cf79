"""The limits of the event contract, in one place.

Each is a promise to producers (documented in the JSON Schema) and a bound that the exact integer
sums of the windows rely on.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 1

MAX_RECORD_BYTES: Final = 1_048_576
"""Size of one Kafka record's value; larger ones are dead letters (`too_large`)."""

MAX_ITEMS_PER_RECORD: Final = 10_000
"""Events in one packed record."""

MAX_DEPTH: Final = 64
"""Nesting of JSON arrays and objects in a record."""

MAX_TEXT: Final = 200
"""Characters of a dimension, id, model or version."""

MAX_ERROR_MESSAGE: Final = 500
"""Characters kept of `error.message`; longer ones are cut, not rejected."""

MAX_LABELS: Final = 16
MAX_LABEL_KEY: Final = 64
MAX_LIST: Final = 16
"""Entries of `finish_reasons` and `compliance.violations`."""

MAX_COUNT: Final = 10_000_000_000
"""Tokens, bytes of GPU memory aside: 10¹⁰ times the events of a segment stays inside int64."""

MAX_BYTES: Final = 10_000_000_000_000
"""Bytes of GPU memory: 10 TB."""

MAX_DURATION_MS: Final = 100_000_000.0
"""About 28 hours: in microseconds, times the events of a segment, it stays inside int64."""

MAX_COST_USD: Final = 999_999
"""Whole dollars of one call; the range of `Decimal64(12)`, refused above, never clamped."""

EARLIEST_TIMESTAMP_US: Final = 946_684_800_000_000
"""2000-01-01T00:00:00Z; earlier event times are a broken clock."""

FUTURE_TOLERANCE_US: Final = 300_000_000
"""An event may claim to have finished this long after its record was sent, not longer."""
