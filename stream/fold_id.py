"""The fold id: what a partial was computed with, as 64 bits.

Two workers with the same id publish the same partials for the same log. When settings or prices change, the open
span is folded again under the new id, and the ledger's newest row decides which partials count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.fold.extent import SpanLimits
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.join.waiting import JoinLimits

FOLD_VERSION: Final = 5
"""Counts up with every change of the code that changes a partial for the same log."""


def fold_id(settings: FoldSettings, clock: ClockLimits, price_books: Sequence[str]) -> int:
    """Return the id; `price_books` are the versions of the books in the order in which they are asked."""
    content = json.dumps(
        [
            FOLD_VERSION,
            SEGMENT_OFFSETS,
            list(settings.dimensions),
            settings.series_cap,
            list(clock),
            list(JoinLimits()),
            list(SpanLimits()),
            list(price_books),
        ]
    )
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big")
