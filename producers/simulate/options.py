"""What a simulation is: everything that its events follow from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tokentide.producers.simulate.catalog import SERVICES, Service
from tokentide.producers.simulate.incidents import Incident
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.limits import EARLIEST_TIMESTAMP_US

MOST_PER_SECOND: Final = 1_000_000.0
END_US: Final = 4_102_444_800_000_000
"""2100-01-01T00:00:00Z: no later events are made. ClickHouse's `DateTime`, the type of the windows' times, ends in 2106."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """Equal options give equal events, on every machine and at every time.

    Raises:
        OptionError: at construction, if a value is outside its limits or a service is unknown.
    """

    seed: int = 1
    start_us: int
    """Event time of the beginning, microseconds since 1970 UTC."""
    rate_per_second: float = 20.0
    """Calls per second, the mean over a week; with the rhythm it is more at noon and less at night."""
    duration_s: float | None = None
    """Calls that finish in `[start, start + duration)`; None: without end."""
    rhythm: float = 0.5
    """0: the same rate day and night; 0.5: half again as much in the afternoon, half as much at night."""
    incidents: tuple[Incident, ...] = ()
    services: tuple[str, ...] | None = None
    """Only these, with the whole rate; None: all."""
    environment: str = "production"
    parts: float = 0.0
    """Share of the calls that are sent as a request and its answer; the others are the same whatever it is."""

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_second <= MOST_PER_SECOND:
            raise OptionError(f"rate must be above 0 and at most {MOST_PER_SECOND:,.0f} calls per second")
        if self.duration_s is not None and not self.duration_s > 0:
            raise OptionError("duration must be above 0 seconds")
        if self.start_us < EARLIEST_TIMESTAMP_US:
            raise OptionError("traffic must begin in 2000 or later: earlier events are refused")
        if self.start_us + (self.duration_s or 0.0) * 1e6 > END_US:
            raise OptionError("traffic must end before 2100: choose an earlier start or less time")
        if not 0 <= self.rhythm <= 0.95:
            raise OptionError("rhythm must be 0 … 0.95")
        if not 0 <= self.parts <= 1:
            raise OptionError("parts must be 0 … 1: the share of the calls that are sent in parts")
        if self.seed < 0:
            raise OptionError("seed must be 0 or more")
        names = [service.name for service in SERVICES]
        for name in self.services or ():
            if name not in names:
                raise OptionError(f"no service {name!r}; there are {', '.join(names)}")
        if self.services == ():
            raise OptionError("name at least one service")

    def chosen_services(self) -> tuple[Service, ...]:
        """The services that take part."""
        return tuple(s for s in SERVICES if self.services is None or s.name in self.services)
