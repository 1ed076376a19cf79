"""A bounded memory of text → token count.

Chats resend their whole history with every call and templates repeat, so most long texts of a stream have
been counted before. The memory holds a digest of each text, never the text: a count cannot be traced back
to a prompt, and an entry has the same size whatever the text's. Digests are 128 bits of BLAKE2b: with a
thousand million texts the chance that any two share one is below 10⁻²⁰.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

BYTES_PER_ENTRY = 320
"""Upper bound of what one entry holds: digest, count and its share of the ordered table. Measured 225 bytes
at 65,536 entries, 281 just after the table has grown."""


class TokenMemory:
    """Least recently used counts, at most `max_entries` of them (65,536 take 15 MB).

    Passed to the counting functions by the caller, who owns it; not for use by several threads at once.

    Attributes:
        hits: look-ups that found a count.
        misses: look-ups that did not.
    """

    def __init__(self, max_entries: int = 65_536) -> None:
        if max_entries < 1:
            raise ValueError(f"max_entries is {max_entries}; a memory holds at least one count")
        self._max_entries = max_entries
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def max_bytes(self) -> int:
        """What the memory may come to hold."""
        return self._max_entries * BYTES_PER_ENTRY

    def recall(self, key: bytes) -> int | None:
        """The count remembered under `key`, which thereby becomes the most recently used."""
        count = self._counts.get(key)
        if count is None:
            self.misses += 1
            return None
        self.hits += 1
        self._counts.move_to_end(key)
        return count

    def remember(self, key: bytes, count: int) -> None:
        """Keep `count` under `key`; the least recently used entry makes room."""
        self._counts[key] = count
        self._counts.move_to_end(key)
        if len(self._counts) > self._max_entries:
            self._counts.popitem(last=False)


def memory_key(text: str, encoding: str) -> bytes:
    """The digest of a text in one encoding; lone surrogates are part of the text."""
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=16, person=encoding.encode()
    ).digest()
