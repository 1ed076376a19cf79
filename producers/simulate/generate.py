"""The generator: a pure function from options to events, in the order in which the calls finish."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

from tokentide.producers.simulate.arrivals import Arrival, arrivals, service_share
from tokentide.producers.simulate.calls import NORMAL, Call, Event, circumstances, make_call
from tokentide.producers.simulate.catalog import Service
from tokentide.producers.simulate.conversations import ServicePool, matches
from tokentide.producers.simulate.dice import Choice, Dice
from tokentide.producers.simulate.incidents import Incident
from tokentide.producers.simulate.malformed import Malformed, malform
from tokentide.producers.simulate.options import SimulationOptions
from tokentide.producers.simulate.parts import in_parts
from tokentide.schemas.rejects import RejectReason

WARM_UP_S: Final = 120.0
"""Calls begin so long before the start, so that its first second has calls that finish, as any other."""
WARM_UP_CALLS: Final = 10_000
LEAST_WARM_UP_S: Final = 5.0
"""At high rates so many calls, but at least this time, must do: they are made and thrown away."""
FILLING: Final = 1 << 32
"""The stream of dice for the conversations that are under way at the begin."""
PARTED: Final = 1 << 33
"""The first of the streams of dice for how calls are sent in parts."""
FILLED_S: Final = 60.0
"""They are as many as this time brings."""


class SimulatedItem(NamedTuple):
    """One thing that is sent."""

    finish_us: int
    """When the call finished; of a malformed one, when it would have. Of a request or an evaluation, its own time."""
    item: Event | bytes
    """An event, or bytes that are none (`reject_burst` only)."""
    refused_as: RejectReason | None = None
    """The reason that a worker must give for refusing it; None: it is valid."""
    call: Event | None = None
    """Of the answer to a request: the call that both are."""


class _Waiting(NamedTuple):
    """What waits for its turn to be yielded."""

    finish_us: int
    order: int
    item: SimulatedItem


def simulate(options: SimulationOptions) -> Iterator[SimulatedItem]:
    """Events by the time they finish, which never goes back. Endless if the options have no duration.

    The same options give the same items, everywhere. `Truth` counts them.
    """
    end_us = None if options.duration_s is None else options.start_us + round(options.duration_s * 1e6)
    for simulated in _in_order(options):
        if simulated.finish_us < options.start_us:
            continue
        if end_us is not None and simulated.finish_us >= end_us:
            return
        yield simulated


def _in_order(options: SimulationOptions) -> Iterator[SimulatedItem]:
    """All calls in the order of their ends. A call cannot end before it begins: what ended before the next
    arrival can go.
    """
    waiting: list[_Waiting] = []
    order = count()
    from_s = -min(WARM_UP_S, max(LEAST_WARM_UP_S, WARM_UP_CALLS / options.rate_per_second))
    workshop = _Workshop(options, from_s)
    for arrival in arrivals(options, from_s=from_s):
        now_us = options.start_us + round(arrival.at_s * 1e6)
        while waiting and waiting[0].finish_us <= now_us:
            yield heapq.heappop(waiting).item
        for item in workshop.make(arrival, now_us):
            heapq.heappush(waiting, _Waiting(item.finish_us, next(order), item))


class _Workshop:
    """Makes calls; remembers the conversations."""

    def __init__(self, options: SimulationOptions, from_s: float) -> None:
        self._options = options
        self._dice = Dice()
        services = options.chosen_services()
        self._pools = [ServicePool(service) for service in services]
        self._pick = Choice([(pool, pool.service.share) for pool in self._pools])
        self._picks_of = {id(incident): _picks_for(incident, services) for incident in options.incidents}
        total = sum(service.share for service in services)
        for index, pool in enumerate(self._pools):
            self._dice.restart(options.seed, FILLING, index)
            expected = options.rate_per_second * FILLED_S * pool.service.share / total
            pool.fill(self._dice, int(expected * pool.service.continued), from_s)

    def make(self, arrival: Arrival, now_us: int) -> list[SimulatedItem]:
        """The call of an arrival, perhaps in parts; nothing if an incident silences it."""
        options, dice = self._options, self._dice
        dice.restart(options.seed, arrival.stream, arrival.number)
        pool = self._pool(arrival)
        conversation = pool.next(dice, arrival.at_s, arrival.incident)
        active = [
            incident
            for incident in options.incidents
            if incident.is_active(arrival.at_s) and matches(incident.target, pool.service, conversation)
        ]
        if any(incident.kind == "silence" for incident in active):
            return []
        around = circumstances(active) if active else NORMAL
        call = make_call(dice, pool.service, conversation, around, start_us=now_us)
        call.event["environment"] = options.environment
        malformed: Malformed | None = None
        for incident in active:
            if incident.kind == "reject_burst" and dice.chance(incident.rate):
                malformed = malform(dice, call.event)
        pool.finish(conversation, dice, (call.finish_us - options.start_us) / 1e6)
        if malformed is not None:
            return [SimulatedItem(call.finish_us, *malformed)]
        return self._as_sent(arrival, call, now_us)

    def _as_sent(self, arrival: Arrival, call: Call, start_us: int) -> list[SimulatedItem]:
        """Whole or in parts, by dice of its own: no other call is changed by it."""
        options, dice = self._options, self._dice
        if (
            options.parts and start_us >= options.start_us
        ):  # no answers whose request came too early to be sent
            dice.restart(options.seed, PARTED + arrival.stream, arrival.number)
            if dice.chance(options.parts):
                steps = in_parts(dice, call, start_us=start_us)
                return [SimulatedItem(step.at_us, step.event, call=step.call) for step in steps]
        return [SimulatedItem(call.finish_us, call.event)]

    def _pool(self, arrival: Arrival) -> ServicePool:
        pick = self._pick if arrival.incident is None else self._picks_of[id(arrival.incident)]
        return pick.at(self._dice.roll())


def _picks_for(incident: Incident, services: tuple[Service, ...]) -> Choice[ServicePool]:
    """The services that an incident aims at, with conversations of their own: what an incident adds to the
    traffic is not to be gone on with by the rest of it.
    """
    shares = [(ServicePool(service), service_share(incident.target, service)) for service in services]
    aimed = [(pool, share) for pool, share in shares if share > 0]
    return Choice(aimed or [(ServicePool(services[0]), 1.0)])
