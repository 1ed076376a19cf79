"""Prices over time: from the offers for a model to one table of periods.

Prices change at the start of days (UTC) and, for some providers, at times of every day. Between two such
moments they are constant, so each combination of day range and time range is asked once, at its start, and
the answer holds for the whole of it. This asks the price book instead of repeating its rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from tokentide.stream.pricing.book import Offer
from tokentide.stream.pricing.outcome import UnpricedReason
from tokentide.stream.pricing.rate import Rate, bands

DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Cell = Rate | UnpricedReason


@dataclass(frozen=True, slots=True)
class Schedule:
    """The prices of a model at every moment.

    Attributes:
        days_us: starts of all day ranges but the first, microseconds UTC, ascending.
        times_us: starts of all time ranges but the first, microseconds of the day UTC, ascending.
        cells: `cells[day range][time range]`, the rate or the reason why there is none.
    """

    days_us: tuple[int, ...]
    times_us: tuple[int, ...]
    cells: tuple[tuple[Cell, ...], ...]

    def at(self, timestamp_us: int) -> Cell:
        """What holds at a moment, microseconds UTC."""
        day = bisect_right(self.days_us, timestamp_us)
        return self.cells[day][bisect_right(self.times_us, timestamp_us % DAY_US)]


def schedule(offers: Sequence[Offer], otherwise: UnpricedReason) -> Schedule:
    """The first offer that has prices wins, at every moment; `otherwise` is the reason without any offer."""
    changes = [offer.changes() for offer in offers]
    days = sorted(frozenset[date]().union(*(one.days for one in changes)))
    times = sorted(frozenset[time]().union(*(one.times for one in changes)) - {time()})
    first_day = days[0] - timedelta(days=1) if days else date(2000, 1, 1)
    cells = tuple(
        tuple(_cell(offers, otherwise, datetime.combine(day, moment, UTC)) for moment in (time(), *times))
        for day in (first_day, *days)
    )
    return Schedule(
        tuple((datetime.combine(day, time(), UTC) - _EPOCH) // _MICROSECOND for day in days),
        tuple(timedelta_us(moment) for moment in times),
        cells,
    )


def timedelta_us(moment: time) -> int:
    """Microseconds since midnight."""
    return (datetime.combine(_EPOCH, moment, UTC) - _EPOCH) // _MICROSECOND


def _cell(offers: Sequence[Offer], otherwise: UnpricedReason, at: datetime) -> Cell:
    reasons: list[UnpricedReason] = []
    for offer in offers:
        quote = offer.quote(at)
        if isinstance(quote, UnpricedReason):
            reasons.append(quote)
        else:
            return Rate(offer.book, offer.provider, offer.model, quote.note, bands(quote.price))
    return reasons[0] if reasons else otherwise
