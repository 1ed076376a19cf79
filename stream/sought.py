"""Which fetches of a partition are to be folded after it was sought elsewhere: some that had been asked for before may still come.

Pure: by offsets alone, in the order in which the consumer hands fetches over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ON_THEIR_WAY: Final = 4
"""Fetches that may be under way when a partition is sought: one is in hand, one waits, one is unpacked, and one to spare."""


@dataclass(slots=True)
class Sought:
    """One partition since it was assigned; `start` is where its reading has to begin, of the assignment or the last seek."""

    start: int
    _handed_to: int | None = None
    """Where the batch ends that was handed over last since then."""
    _goes_on: int | None = None
    """Where what had been fetched before the seek goes on; None: all that comes is wanted."""
    _again_from: int = -1
    """Where what was sought may come a second time: a fetch that was under way may have begun there too, by chance or because
    retention had taken what was asked for."""
    _again_in: int = 0
    """After so many other fetches at most."""

    def seek(self, start: int) -> bool:
        """Reading has to begin there now. Return whether the consumer has to be sought; else it is there already."""
        goes_on = self.start if self._handed_to is None else self._handed_to
        self.start, self._handed_to = start, None
        if goes_on == start:
            return False
        self._goes_on = goes_on
        self._again_from, self._again_in = start, ON_THEIR_WAY
        return True

    def is_stale(self, begin: int, end: int) -> bool:
        """Whether a fetch was asked for before the partition was sought, and is not what was sought."""
        if self._goes_on is None:
            return False
        if begin == self._goes_on and begin != self.start:
            self._goes_on = end
            return True
        # One that begins where was sought is taken, whenever it was asked for: the same records, and the other one is left out.
        if begin > self.start:
            return True
        self._goes_on = None
        return False

    def wanted_from(self, begin: int, end: int, position: int) -> int | None:
        """From which offset on a fetch is to be folded, where all below `position` is: its end, if it only repeats that.

        None: it repeats what it should not, so the log has changed.
        """
        if begin < position:
            if begin != self._again_from:
                return None
            self._again_from = end
            if end <= position:
                return end
        elif self._again_in:
            self._again_in -= 1
        else:
            self._again_from = -1
        self._handed_to = end
        return max(begin, position)
