"""What happens in the demo: some history, then live traffic with two incidents. Runs beside the display."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field, replace
from typing import Final

from tokentide.cli.exits import CliError
from tokentide.cli.sending import opened_sink
from tokentide.config import Settings
from tokentide.producers.progress import Progress
from tokentide.producers.simulate.incidents import Incident, Target
from tokentide.producers.simulate.run import RunOptions, run_simulation

RATE_PER_SECOND: Final = 10.0
"""Half an hour of history is about 25,000 events: seconds of work, and a past for the rules that compare with it."""
FAILING_SERVICE: Final = "checkout"
DEAR_SERVICE: Final = "support-chat"


def incidents(live_s: float) -> tuple[Incident, ...]:
    """An error burst and a cost spike, both to the end: strong enough to be seen in windows of five minutes.

    Args:
        live_s: length of the live part, seconds.
    """
    return (
        Incident(
            kind="error_burst",
            start_s=live_s / 10,
            duration_s=live_s,
            target=Target(service=FAILING_SERVICE),
            rate=0.9,
            error_class="rate_limit",
        ),
        Incident(
            kind="cost_spike",
            start_s=live_s / 6,
            duration_s=live_s,
            target=Target(service=DEAR_SERVICE),
            factor=20.0,
            driver="prompt",
        ),
    )


@dataclass
class Traffic:
    """The sending, in a thread of its own; look at it from another."""

    settings: Settings
    history_s: float
    live_s: float
    seed: int
    phase: str = "sending history"
    sent: int = 0
    error: CliError | None = None
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="demo-traffic", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """All was sent, or it failed (`error`)."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            common = RunOptions(seed=self.seed, rate_per_second=RATE_PER_SECOND)
            self._send(replace(common, history_s=self.history_s, is_live=False))
            self.phase = "sending live traffic with two incidents"
            self._send(replace(common, live_s=self.live_s, incidents=incidents(self.live_s)))
        except CliError as error:
            self.error = error

    def _send(self, options: RunOptions) -> None:
        with opened_sink(self.settings, to_stdout=False) as sink:
            report = run_simulation(
                options, sink, progress=Progress("demo", stream=io.StringIO(), style="quiet")
            )
        self.sent += report.acknowledged
