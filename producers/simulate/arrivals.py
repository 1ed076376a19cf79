"""When calls begin: a Poisson process whose rate follows the day and the week, by thinning."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from tokentide.producers.simulate.catalog import MODELS, TENANTS, Service
from tokentide.producers.simulate.dice import Dice
from tokentide.producers.simulate.incidents import Incident, Target
from tokentide.producers.simulate.options import SimulationOptions

DAY_S: Final = 86_400
PEAK_HOUR: Final = 14.0
WEEKEND_SHARE: Final = 0.7
"""Of the rhythm that a weekend day loses: with a rhythm of 0.5 it has 65 % of a working day's calls."""
CALLS: Final = 0
ARRIVALS: Final = 1
"""Streams of dice of the normal traffic; those of incident number n are 2 + 2n and 3 + 2n."""


class Arrival(NamedTuple):
    """The begin of one call."""

    at_s: float
    """Since the start of the simulation; negative in the time before, from which calls run into it."""
    stream: int
    number: int
    """Position in its stream, from 0."""
    incident: Incident | None
    """Caused by this one: then its target is what the call is."""


def rhythm_at(epoch_s: float, rhythm: float) -> float:
    """The rate at a moment (UTC) relative to its mean over the week."""
    if rhythm == 0:
        return 1.0
    hour = epoch_s % DAY_S / 3600
    by_hour = 1.0 + rhythm * math.cos(math.tau * (hour - PEAK_HOUR) / 24)
    weekend = 1.0 - WEEKEND_SHARE * rhythm
    day = (int(epoch_s // DAY_S) + 3) % 7  # 1 January 1970 was a Thursday; 0 is Monday
    return by_hour * (weekend if day >= 5 else 1.0) * 7 / (5 + 2 * weekend)


def arrivals(options: SimulationOptions, *, from_s: float) -> Iterator[Arrival]:
    """All arrivals in order, from a moment on: normal traffic and what incidents add to it."""
    streams = [_poisson(options, from_s=from_s, rate=options.rate_per_second)]
    for index, incident in enumerate(options.incidents):
        if incident.kind == "cost_spike" and incident.driver == "calls" and incident.factor > 1:
            share = share_of(incident, options.chosen_services())
            rate = options.rate_per_second * share * (incident.factor - 1)
            if rate > 0:
                streams.append(
                    _poisson(
                        options,
                        from_s=max(from_s, incident.start_s),
                        until_s=incident.start_s + incident.duration_s,
                        rate=rate,
                        incident=incident,
                        base_stream=2 + 2 * index,
                    )
                )
    return heapq.merge(*streams, key=attrgetter("at_s"))


def share_of(incident: Incident, services: tuple[Service, ...]) -> float:
    """The share of all calls that an incident aims at."""
    total = sum(service.share for service in services)
    tenants = sum(weight for name, weight in TENANTS if incident.target.tenant in {None, name})
    return sum(service_share(incident.target, service) for service in services) / total * tenants


def service_share(target: Target, service: Service) -> float:
    """What a service has of the calls aimed at, tenants aside, on the scale of its own share."""
    if target.service not in {None, service.name}:
        return 0.0
    models = sum(
        weight
        for name, weight in service.models
        if target.model in {None, name} and target.provider in {None, MODELS[name].provider}
    )
    templates = sum(t.weight for t in service.templates if target.prompt in {None, t.name})
    return service.share * models * templates


def _poisson(
    options: SimulationOptions,
    *,
    from_s: float,
    until_s: float = math.inf,
    rate: float,
    incident: Incident | None = None,
    base_stream: int = 0,
) -> Iterator[Arrival]:
    dice = Dice()
    dice.restart(options.seed, base_stream + ARRIVALS, 0)
    start_s, rhythm = options.start_us / 1e6, options.rhythm
    highest = _highest(rhythm)
    calls = base_stream + CALLS
    number, at_s = 0, from_s
    while (at_s := at_s + dice.gap(rate * highest)) < until_s:
        if dice.roll() * highest < rhythm_at(start_s + at_s, rhythm):
            yield Arrival(at_s, calls, number, incident)
            number += 1


def _highest(rhythm: float) -> float:
    return (1.0 + rhythm) * 7 / (5 + 2 * (1.0 - WEEKEND_SHARE * rhythm))
