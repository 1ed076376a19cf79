"""When a child that died is started again, and when that is given up. Pure: the clock is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often, and how soon.

    The defaults let a worker that was killed come back after half a second, and give one that cannot live
    five tries in about 15 s before the whole is ended with its last words.
    """

    max_restarts: int = 5
    """Within `window_s`; one more death there is the last."""
    window_s: float = 60.0
    first_delay_s: float = 0.5
    """Doubles with each death within the window."""
    max_delay_s: float = 8.0


@dataclass(slots=True)
class RestartHistory:
    """The deaths of one child."""

    policy: RestartPolicy = RestartPolicy()
    _deaths_s: deque[float] = field(default_factory=deque)

    def delay_after_death(self, now_s: float) -> float | None:
        """Record a death.

        Args:
            now_s: seconds of a clock that only goes forward.

        Returns:
            Seconds to wait before the next start; None: give up.
        """
        while self._deaths_s and now_s - self._deaths_s[0] > self.policy.window_s:
            self._deaths_s.popleft()
        recent = len(self._deaths_s)
        self._deaths_s.append(now_s)
        if recent >= self.policy.max_restarts:
            return None
        return float(min(self.policy.first_delay_s * 2**recent, self.policy.max_delay_s))

    @property
    def recent_deaths(self) -> int:
        """Deaths that counted at the last one, itself included."""
        return len(self._deaths_s)
