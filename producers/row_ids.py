"""Event ids for rows that carry none: the same content at the same place gives the same id, always.

An id is a hash of a seed and of everything up to and including the row. So

- the same file gives the same ids each time: sent twice, stored once;
- two identical rows are two events;
- a file that has grown gives its old rows their old ids, and a beginning of a file the same as the whole;
- two files of one beginning share the ids of that beginning and no others.

The alternative, a hash of the file and the row's number, would count a log that has grown twice.
"""

from __future__ import annotations

from hashlib import blake2b


class RowIds:
    """The chain of one input; call it once per row, in order."""

    def __init__(self, seed: str) -> None:
        self._state = blake2b(seed.encode(), digest_size=16).digest()

    def of(self, row: bytes) -> str:
        """The id of the next row, in the form of a UUID of version 8 (RFC 9562: vendor's own hash)."""
        self._state = state = blake2b(row, digest_size=16, key=self._state).digest()
        return as_uuid(state.hex())


def derived_id(seed: str, own_id: str) -> str:
    """An id for another copy of an event that has an id of its own."""
    return as_uuid(blake2b(f"{seed}\0{own_id}".encode(), digest_size=16).hexdigest())


def as_uuid(digits: str) -> str:
    """32 hex digits as a UUID of version 8."""
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
