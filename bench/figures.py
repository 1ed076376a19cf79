"""Several runs of one figure: median, least and most."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One figure over several runs."""

    name: str
    unit: str
    values: Sequence[float]

    def line(self) -> str:
        """For a terminal."""
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return f"{self.name:<52} {middle:>12,.1f} {self.unit:<12} ({low:,.1f} … {high:,.1f}, {len(self.values)} runs)"

    def record(self) -> dict[str, object]:
        """For programs."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": statistics.median(self.values),
            "min": min(self.values),
            "max": max(self.values),
            "runs": len(self.values),
        }
