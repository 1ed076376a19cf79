"""What of a worker ought to get on, for `stall.StallWatch`. Pure: from what the stages, the core's thread and the consumer tell."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

from tokentide.stream.core_thread import Doing
from tokentide.stream.stall import BLOCKED_CPU_S, Stalled, Work
from tokentide.stream.transport.fetched import Place

_TURNS_OF_EACH: Final = 20
"""Fetches are taken in turn, so each partition's comes after one of every other; twenty are far more than chance."""


class Fetching(NamedTuple):
    """What the consumer knows of an assigned partition."""

    end: int | None = None
    """Of the log, as the last answer to a fetch told it."""
    position: int | None = None
    """Up to where it has handed over what it fetched."""
    is_waiting: bool = False
    """Whether something fetched waits to be taken."""
    answers: Hashable = None
    """Changes with each answer to a fetch of this partition, also one without records, and with bytes that arrive."""


class Seen(NamedTuple):
    """A look at a worker."""

    doing: Doing | None
    """What the core's thread is at."""
    done: int
    """Pieces of work that it had begun, of all since the start."""
    positions: Mapping[Place, int]
    """The next offset of each partition that ought to get on; none of those that wait for room or for what is outside."""
    fetching: Mapping[Place, Fetching]
    """Of those that the consumer has, too: others were taken away a moment ago."""
    calls: Mapping[int, str]
    """What the consumer's thread was asked to do and has not done, by number."""
    turns: int
    """Fetches taken since the start."""
    is_asking: bool = False
    """Whether something is asked of Kafka that has an end of its own."""
    acknowledged: int | None = None
    """While dead letters or partials are sent: how many records Kafka has acknowledged since the start."""


def works(seen: Seen) -> Mapping[Hashable, Work]:
    """All that ought to get on now, by a name of its own."""
    found: dict[Hashable, Work] = {}
    if seen.doing is not None:
        found["core"] = Work(seen.doing.number, f"{seen.doing.name} does not end", cpu_s=seen.doing.cpu_s)
    for number, name in seen.calls.items():
        told = f"the consumer's thread has not answered ({name})"
        found["call", number] = Work(number, told, asks_kafka=True)
    if seen.acknowledged is not None:
        told = "Kafka has not acknowledged what was sent"
        found["sending"] = Work(seen.acknowledged, told, asks_kafka=True)
    in_hand = []
    for place, fetching in sorted(seen.fetching.items(), key=lambda item: -_behind(seen, item[0])):
        position = seen.positions[place]
        if fetching.is_waiting or (fetching.position or 0) > position:
            in_hand.append(place)
            found["turn", place] = Work(
                position,
                f"{_standing(seen, place)}: it is fetched, and others are taken",
                turns=seen.turns,
                patience_turns=_TURNS_OF_EACH * len(seen.positions),
            )
        else:
            mark = position, fetching.position, fetching.answers
            told = f"{_standing(seen, place)}: no answer to a fetch"
            found["fetch", place] = Work(mark, told, asks_kafka=True)
    # While the core is at something, that is what gets on, or does not.
    if in_hand and seen.doing is None and not seen.calls and not seen.is_asking:
        told = f"{_standing(seen, in_hand[0])}: it is fetched, and nothing is taken"
        found["taking"] = Work((seen.turns, seen.done), told)
    return found


def _behind(seen: Seen, place: Place) -> int:
    return max(0, (seen.fetching[place].end or 0) - seen.positions[place])


def _standing(seen: Seen, place: Place) -> str:
    topic, partition = place
    return f"{topic}/{partition} stands still at offset {seen.positions[place]}, {_behind(seen, place)} records behind"


def told(stalled: Stalled) -> str:
    """One line: what was waited for, for how long, how far behind, and what would have been progress."""
    if stalled.cpu_s is None:
        return f"{stalled.work.told} for {stalled.fair_s:.0f} s; it last got on with {stalled.work.mark}"
    if stalled.cpu_s > BLOCKED_CPU_S:
        return f"{stalled.work.told}: it has used {stalled.cpu_s:.1f} s of the processor (piece of work {stalled.work.mark})"
    return (
        f"{stalled.work.told}: it is blocked for {stalled.fair_s:.0f} s (piece of work {stalled.work.mark})"
    )
