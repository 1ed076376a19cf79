"""When refused events are too many: a share of the last minutes, or a run on one partition. Pure; the clock is the caller's.

Refused events are single bad senders' as a rule, and wait in the dead-letter topic. A share or a run says that something is plainly
broken: a producer was updated, or sends to the wrong topic. Nothing stops because of it: the good events are counted on.

Times are of processing, not of events: a refused event often has none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from tokentide.schemas.rejects import RejectReason
from tokentide.stream.detect.statistics import Z_95, wilson_bound
from tokentide.stream.taken import Taken

AlarmKind = Literal["share", "run"]
KINDS: Final[tuple[AlarmKind, ...]] = ("share", "run")

SPAN_S: Final = 300
"""The share is that of the last five minutes, as in the rules of detection."""
FEWEST_EVENTS: Final = 20
"""Fewer prove nothing: of three calls, one refused is no share."""
RECOVERED: Final = 0.8
"""The share is fine again below this part of its limit."""
REPEAT_S: Final = 300
"""While it lasts, it is said again so often."""
PAUSE_S: Final = 60
"""Over and back again sooner, it is not said anew."""

_SLICE_S: Final = 10

_Place = TypeVar("_Place", bound=Hashable)


class Saying(NamedTuple):
    """What is to be said of an alarm now."""

    kind: AlarmKind
    is_over: bool
    """Whether the alarm has ended."""
    accepted: int
    """Events of the span that were not refused."""
    refused: Mapping[RejectReason, int]
    """Refused events of the span, by reason."""
    run: int
    """Of a run, the longest on one partition of those that last or ended since it was last said."""

    @property
    def share(self) -> float:
        """Of the refused events, from 0 to 1."""
        refused = sum(self.refused.values())
        return refused / max(1, refused + self.accepted)


@dataclass(slots=True)
class _Slice:
    """Some seconds of processing."""

    number: int
    accepted: int = 0
    refused: Counter[RejectReason] = field(default_factory=Counter)


@dataclass(slots=True)
class _Told:
    """What was said of one kind."""

    is_on: bool = False
    """Whether the last thing said was that it is on."""
    at_s: float | None = None
    """When it was last said to be on."""


class _Held(NamedTuple):
    """An alarm of an earlier worker."""

    until_s: float
    events: int
    """That it rested on."""


class RejectAlarm(Generic[_Place]):
    """The refused events of one worker, over all its partitions."""

    def __init__(self, *, share: float, run: int) -> None:
        """Begin.

        Args:
            share: of refused events, above which there is an alarm.
            run: refused events in a row on one partition from which there is one.
        """
        self._share = share
        self._run = run
        self._slices: deque[_Slice] = deque()
        self._runs: dict[_Place, int] = {}
        self._longest_run = 0
        self._is_share_on = False
        self._told: dict[AlarmKind, _Told] = {kind: _Told() for kind in KINDS}
        self._was_on: set[AlarmKind] = set()
        self._held: dict[AlarmKind, _Held] = {}
        self.begun: Counter[AlarmKind] = Counter()
        """How often each kind has begun."""

    def observe(self, place: _Place, taken: Taken, now_s: float) -> None:
        """Count a batch of a partition; `now_s` in seconds, never backwards."""
        slice_ = self._slice(now_s)
        slice_.accepted += taken.accepted
        slice_.refused.update(taken.refused)
        self._count_run(place, taken)
        if taken.refused:
            self._judge_share(now_s)

    def keep_only(self, places: Iterable[_Place]) -> None:
        """Forget the runs of partitions that are another worker's now."""
        kept = set(places)
        self._runs = {place: run for place, run in self._runs.items() if place in kept}

    def go_on_with(self, raised: Mapping[AlarmKind, int], now_s: float) -> None:
        """Partitions were assigned, and of these kinds there was an alarm about the same ones.

        Such an alarm is not over before there have been as many events as it rested on, which `raised` says, or none of
        them are left in the span that it looks at. Any other alarm that lasts is said anew.
        """
        for kind, told in self._told.items():
            if kind not in raised:
                told.is_on, told.at_s = False, None
            elif not told.is_on:
                told.is_on, told.at_s = True, now_s
                self._held[kind] = _Held(now_s + SPAN_S, raised[kind])

    def is_on(self, kind: AlarmKind) -> bool:
        """Whether there is an alarm, as of the last call of `observe` or `due`."""
        return self._is_share_on if kind == "share" else self._has_run()

    def due(self, now_s: float) -> list[Saying]:
        """Take what is to be said now; at most one line a minute and kind for a beginning, and one for its end."""
        self._judge_share(now_s)
        due = []
        for kind in KINDS:
            told, is_on = self._told[kind], self.is_on(kind) or kind in self._was_on
            pause_s = REPEAT_S if told.is_on else PAUSE_S
            if is_on and (told.at_s is None or now_s - told.at_s >= pause_s):
                told.is_on, told.at_s = True, now_s
                due.append(self._saying(kind, is_over=False))
            elif told.is_on and not self.is_on(kind) and not self._is_held(kind, now_s):
                told.is_on = False
                due.append(self._saying(kind, is_over=True))
        self._was_on.clear()
        return due

    def _is_held(self, kind: AlarmKind, now_s: float) -> bool:
        """Whether too little has come since `go_on_with` to say that it is over."""
        held = self._held.get(kind)
        if held is None:
            return False
        events = sum(slice_.accepted + slice_.refused.total() for slice_ in self._slices)
        if now_s < held.until_s and events < max(FEWEST_EVENTS, held.events):
            return True
        del self._held[kind]
        return False

    def _slice(self, now_s: float) -> _Slice:
        number = int(now_s // _SLICE_S)
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        return self._slices[-1]

    def _count_run(self, place: _Place, taken: Taken) -> None:
        refusals, runs = taken.refusals, taken.runs
        before = self._runs.get(place, 0)
        if taken.accepted:
            longest, self._runs[place] = max(before + runs.first, runs.longest), runs.last
        else:
            longest = self._runs[place] = before + refusals
        if refusals and longest >= self._run:
            self._longest_run = max(self._longest_run, longest)
            if before < self._run:
                self._begin("run")

    def _has_run(self) -> bool:
        return any(run >= self._run for run in self._runs.values())

    def _judge_share(self, now_s: float) -> None:
        while self._slices and (self._slices[0].number + 1) * _SLICE_S <= now_s - SPAN_S:
            self._slices.popleft()
        refused = sum(slice_.refused.total() for slice_ in self._slices)
        events = refused + sum(slice_.accepted for slice_ in self._slices)
        if events < FEWEST_EVENTS or refused < RECOVERED * self._share * events:
            self._is_share_on = False
        elif not self._is_share_on and wilson_bound(refused, events, z=Z_95, side="lower") > self._share:
            self._is_share_on = True
            self._begin("share")

    def _begin(self, kind: AlarmKind) -> None:
        self.begun[kind] += 1
        self._was_on.add(kind)

    def _saying(self, kind: AlarmKind, *, is_over: bool) -> Saying:
        accepted = sum(slice_.accepted for slice_ in self._slices)
        refused: Counter[RejectReason] = sum((slice_.refused for slice_ in self._slices), Counter())
        run = 0
        if kind == "run":
            # Those that last count too: nothing may have come since it was last said.
            run, self._longest_run = max(self._longest_run, *self._runs.values(), 0), 0
        return Saying(kind, is_over, accepted, refused, run)
