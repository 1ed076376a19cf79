"""A rule over a series: judged at the end of every minute in which the series had calls, in order.

`timeline` is the definition: a pure function of the windows. `Timeline` keeps the state after each minute, so that a
change costs only the minutes from there on; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tokentide.stream.detect.history import History
from tokentide.stream.detect.incident import CALM, Incident, State, after_silence, step
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.rules import Rule


def timeline(rule: Rule, windows: Mapping[int, Counts], *, newest_minute: int) -> list[Incident]:
    """The incidents of a series, the earliest first.

    Args:
        rule: what to look for.
        windows: the measures of the series by minute since 1970 UTC, such as the view `windows` has them.
        newest_minute: newest minute of any series of the same environment and service: it tells silence.
    """
    history = History()
    for minute, counts in windows.items():
        history.add(minute, counts.values())
    whole = Timeline(rule)
    return whole.evaluated(history, newest_minute).incidents()


class Timeline:
    """A rule over one series whose history grows and is revised."""

    __slots__ = ("_begin", "_states", "rule")

    def __init__(self, rule: Rule, begin: State = CALM) -> None:
        self.rule = rule
        self._begin = begin
        self._states: list[State] = []

    def revised(self, history: History, minute: int) -> None:
        """The history has changed from a minute on, which is not frozen: all before is as it was."""
        del self._states[history.place_of(minute) - history.context :]

    def begin_with(self, incident: Incident) -> None:
        """An incident that had begun before the history does."""
        self._begin = State(incident)
        self._states.clear()

    def evaluated(self, history: History, newest_minute: int) -> State:
        """The state now. `history` is the one that this timeline has always been given."""
        rule, states = self.rule, self._states
        state = states[-1] if states else self._begin
        for minute in self._unjudged(history):
            state = step(rule, state, minute + 1, rule.judge(history, minute + 1))
            states.append(state)
        return after_silence(rule, state, newest_minute + 1)

    def _unjudged(self, history: History) -> Iterable[int]:
        return history.minutes.times[history.context + len(self._states) :]

    def freeze_before(self, history: History, minute: int) -> None:
        """The history is about to freeze: if it was judged, what follows builds on the state after the last frozen minute."""
        frozen = history.place_of(minute) - history.context
        if frozen > 0 and self._states:
            self._begin = State(self._states[frozen - 1].current)
            del self._states[:frozen]
