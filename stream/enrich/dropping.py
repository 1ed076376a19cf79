"""A redactor that drops what it cannot redact, and counts that: no text passes as it came because of a defect."""

from __future__ import annotations

from collections.abc import Callable


class Dropping:
    """Calls a redactor; whatever it raises, the text is dropped."""

    def __init__(self, redact: Callable[[str], str | None]) -> None:
        self._redact = redact
        self.dropped = 0
        """Texts so far."""

    def __call__(self, text: str) -> str | None:
        """The text redacted; None where that failed."""
        try:
            return self._redact(text)
        except Exception:  # noqa: BLE001 - whatever goes wrong in it, the text must not pass, nor the worker end
            self.dropped += 1
            return None
