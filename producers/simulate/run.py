"""Sending made-up traffic: hours of history as fast as possible, then live, as the clock goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from tokentide.producers.compact_json import encode_event
from tokentide.producers.event_sink import EventSink
from tokentide.producers.gentle_stop import GentleStop
from tokentide.producers.pace import Clock, Pacer, SystemClock
from tokentide.producers.progress import Progress
from tokentide.producers.simulate.generate import SimulatedItem, simulate
from tokentide.producers.simulate.incidents import Incident
from tokentide.producers.simulate.options import SimulationOptions
from tokentide.producers.simulate.truth import Truth
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.limits import EARLIEST_TIMESTAMP_US

_DAY_US: Final = 86_400_000_000

_INCIDENTS_COUNT_FROM: Final = {
    True: "the live part (a negative one lies in the history)",
    False: "the history, because there is no live part",
}
"""What the times of incidents count from, by `is_live`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Which traffic, over which time.

    - `history_s` alone: the last hours, ending now, as fast as possible.
    - `live_s` alone, or neither: from now on, at the clock's pace; without end if `live_s` is None.
    - both: history first, then live without a gap. Baselines exist when the live part begins.
    - `start_us`: made-up traffic of that time instead, `history_s` long, as fast as possible.

    Times of incidents count from the begin of the live part, so that negative ones lie in the history;
    without a live part they count from the begin.
    """

    seed: int = 1
    rate_per_second: float = 20.0
    history_s: float = 0.0
    is_live: bool = True
    live_s: float | None = None
    start_us: int | None = None
    count: int | None = None
    """Stop after so many items."""
    rhythm: float = 0.5
    incidents: tuple[Incident, ...] = ()
    services: tuple[str, ...] | None = None
    environment: str = "production"
    parts: float = 0.0


@dataclass(slots=True)
class SimulationReport:
    """What was sent."""

    sent: int = 0
    """Items given to the sink, malformed ones among them."""
    acknowledged: int = 0
    malformed: int = 0
    first_us: int | None = None
    last_us: int | None = None
    """Event times of the first and the last."""
    most_behind_s: float = 0.0
    """How late the live traffic was sent at worst: above a second, the rate is too high for this machine."""
    is_interrupted: bool = False
    """Ended by Ctrl-C; everything given to the sink was acknowledged before the end."""


def simulation_options(run: RunOptions, now_us: int) -> SimulationOptions:
    """The simulation of a run that begins now.

    Raises:
        OptionError: the parts of the run contradict each other, a value is outside its limits, or an incident lies
            outside the run.
    """
    if run.history_s < 0 or (run.live_s is not None and run.live_s <= 0):
        raise OptionError("history and live time must be above 0 seconds")
    if run.start_us is not None and (run.is_live or not run.history_s):
        raise OptionError("a start of its own is for history: give its length, and no live part")
    if not run.is_live and not run.history_s:
        raise OptionError("there is nothing to do: neither history nor live traffic")
    most_us = now_us - EARLIEST_TIMESTAMP_US
    if run.start_us is None and run.history_s * 1e6 > most_us:
        raise OptionError(
            f"history must be at most {most_us // _DAY_US:,} days: it would begin before 2000, and such events are refused"
        )
    history_us = round(run.history_s * 1e6) if run.start_us is None else 0
    live_from_s = run.history_s if run.is_live else 0.0
    endless = run.is_live and run.live_s is None
    duration_s = None if endless else run.history_s + (run.live_s or 0.0 if run.is_live else 0.0)
    incidents = tuple(incident.later(live_from_s) for incident in run.incidents)
    for incident in incidents:
        _check_within(incident, duration_s, counted_from=_INCIDENTS_COUNT_FROM[run.is_live])
    return SimulationOptions(
        seed=run.seed,
        start_us=run.start_us if run.start_us is not None else now_us - history_us,
        rate_per_second=run.rate_per_second,
        duration_s=duration_s,
        rhythm=run.rhythm,
        incidents=incidents,
        services=run.services,
        environment=run.environment,
        parts=run.parts,
    )


def _check_within(incident: Incident, duration_s: float | None, *, counted_from: str) -> None:
    """Refuse an incident that would change no event of the run."""
    is_over = incident.start_s + incident.duration_s <= 0
    if is_over or (duration_s is not None and incident.start_s >= duration_s):
        raise OptionError(
            f"the incident {incident.kind} {'ends before the run begins' if is_over else 'begins after the run ends'}: "
            f"its start counts from the begin of {counted_from}"
        )


def run_simulation(
    run: RunOptions,
    sink: EventSink,
    *,
    progress: Progress,
    truth: Truth | None = None,
    clock: Clock | None = None,
) -> SimulationReport:
    """Send made-up traffic until its end, `count`, or Ctrl-C.

    Run again, the same options make other events if they begin at another time: event times differ, and
    with them the ids.

    Raises:
        OptionError: the options cannot be used; nothing was sent.
        DeliveryError: Kafka did not acknowledge; see there.
    """
    clock = clock if clock is not None else SystemClock()
    now_us = clock.now_us()
    options = simulation_options(run, now_us)
    if run.count is not None:
        progress.expect(run.count)
    report = SimulationReport()
    pacer = Pacer(clock, 1.0 if run.is_live else None, anchor_us=now_us)
    with GentleStop() as stop:
        push = partial(stop.during, sink.push)
        try:
            for simulated in simulate(options):
                pacer.wait_for(simulated.finish_us, push=push, tick=progress.tick)
                report.most_behind_s = max(report.most_behind_s, _behind_s(simulated, now_us, clock, run))
                stop.begin()
                size_bytes = _send(simulated, sink, report)
                if truth is not None:
                    truth.count(simulated)
                stop.end()
                progress.advance(1, size_bytes, fraction_done=_fraction(simulated, options))
                if run.count is not None and report.sent >= run.count:
                    break
        except KeyboardInterrupt:
            report.is_interrupted = True
    sink.flush()
    report.acknowledged = sink.acknowledged
    return report


def _send(simulated: SimulatedItem, sink: EventSink, report: SimulationReport) -> int:
    """Hand over one item and return its size in bytes."""
    item = simulated.item
    if isinstance(item, bytes):
        line = item
        report.malformed += 1
        sink.send_alone(line)
    else:
        line = encode_event(item)
        sink.send(line, _id_of(item))
    report.sent += 1
    report.first_us = simulated.finish_us if report.first_us is None else report.first_us
    report.last_us = simulated.finish_us
    return len(line)


def _id_of(event: Mapping[str, object]) -> str | None:
    event_id = event.get("event_id")
    return event_id if isinstance(event_id, str) else None


def _behind_s(simulated: SimulatedItem, live_from_us: int, clock: Clock, run: RunOptions) -> float:
    if not run.is_live or simulated.finish_us < live_from_us:
        return 0.0
    return max(0.0, (clock.now_us() - simulated.finish_us) / 1e6)


def _fraction(simulated: SimulatedItem, options: SimulationOptions) -> float | None:
    if options.duration_s is None:
        return None
    return (simulated.finish_us - options.start_us) / (options.duration_s * 1e6)
