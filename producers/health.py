"""How Kafka stands, judged by what it acknowledges: whether to send now, one by one, or not at all.

"Away" means that nothing was acknowledged for a while although something wants to be sent. After a
failure one record at a time is sent as a probe, less and less often, until one is answered.
"""

from __future__ import annotations

from typing import Final

FIRST_BACKOFF_S: Final = 0.25
LAST_BACKOFF_S: Final = 15.0


class Health:
    """Facts in, judgement out; all times are seconds of one monotonic clock.

    Args:
        patience_s: how long nothing may be acknowledged before Kafka counts as away.
        now: when this begins.
    """

    def __init__(self, *, patience_s: float, now: float) -> None:
        self._patience_s = patience_s
        self._backoff_s = FIRST_BACKOFF_S
        self._retry_at = 0.0
        self._last_answer = now
        self._blocked_since: float | None = None
        self._singly = 0
        self.is_connected = False
        self.answers = True
        """False from a failure until the next answer."""
        self.is_spent = False
        """A probe failed: the connection is to be made anew."""
        self.problem: str | None = None
        """The last reason why something was not taken; None after something was."""

    # facts

    def look(self, *, is_up: bool, problem: str | None, is_wanted: bool, now: float) -> None:
        """Note whether there is a connection, and whether anything wants to be sent."""
        self.is_connected = is_up
        if not is_up:
            self.problem = problem or self.problem
        if is_wanted and self._blocked_since is None and not self.can_reach(now):
            self._blocked_since = now
        elif is_up and self.answers:
            self._blocked_since = None

    def answered(self, now: float) -> None:
        """Note an answer to one record, also one that refuses it."""
        self.answers = True
        self._last_answer = now
        self._blocked_since = None
        self._backoff_s = FIRST_BACKOFF_S
        self._retry_at = 0.0
        self._singly = max(0, self._singly - 1)
        self.is_spent = False
        self.problem = None

    def failed(self, reason: str | None, *, since: float, now: float) -> None:
        """Note that a record sent at `since` was not answered."""
        if self._blocked_since is None:
            self._blocked_since = since
        self.problem = reason or "not acknowledged"
        self.is_spent = not self.answers
        if self.answers or now >= self._retry_at:  # one failure of many records is one failure
            self._retry_at = now + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)
        self.answers = False

    def reconnecting(self) -> None:
        """Note that the connection was given up to be made anew."""
        self.is_spent = False
        self.is_connected = False

    def go_singly(self, records: int = 1) -> None:
        """Have so many more records sent one by one."""
        self._singly += records

    # judgement

    def can_reach(self, now: float) -> bool:
        """Whether there is a connection, and no pause after a failure."""
        return self.is_connected and now >= self._retry_at

    @property
    def is_one_by_one(self) -> bool:
        """Whether the next record is a probe, or one of several that may be a refused one."""
        return not self.answers or self._singly > 0

    def is_stalled(self, oldest_since: float | None, now: float) -> bool:
        """Whether records are on their way, the oldest since then, and none is answered."""
        return oldest_since is not None and now - max(oldest_since, self._last_answer) >= self._patience_s

    def is_away(self, oldest_since: float | None, now: float) -> bool:
        """Whether nothing is taken any more."""
        if self._blocked_since is not None and now - self._blocked_since >= self._patience_s:
            return True
        return self.is_stalled(oldest_since, now)
