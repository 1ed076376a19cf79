"""What happens in the demo: some history, then live traffic with two incidents. Runs beside the display."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field, replace
from typing import Final

from tokentide.cli.exits import CliError
from tokentide.cli.sending import opened_sink
from tokentide.config import Settings
from tokentide.producers.bulk import Event, EventSink
from tokentide.producers.progress import Progress
from tokentide.producers.simulate.incidents import Incident, Target
from tokentide.producers.simulate.run import RunOptions, run_simulation

RATE_PER_SECOND: Final = 6.0
"""With the usual history that is some 40,000 events: seconds of work."""
FAILING_SERVICE: Final = "checkout"
DEAR_SERVICE: Final = "code-agent"
NOTICED_AFTER_S: Final = 45.0
"""When both incidents have been noticed, at the rate above: the burst after some 35 seconds of live traffic, the costs after some 45."""
_STOP_WITHIN_S: Final = 10.0


def live_phase(live_s: float) -> str:
    """What is said of the live part: what it is too short for, it does not promise."""
    if live_s > NOTICED_AFTER_S:
        return "sending live traffic with two incidents"
    return f"sending live traffic; its two incidents would take some {NOTICED_AFTER_S:.0f} s to be noticed"


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
            factor=35.0,
            driver="calls",
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
    _is_stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="demo-traffic", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End before the end of the story, and let go of the broker; returns when that is done."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN_S)

    @property
    def is_done(self) -> bool:
        """All was sent, or it failed (`error`)."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        common = RunOptions(seed=self.seed, rate_per_second=RATE_PER_SECOND)
        try:
            self._send(replace(common, history_s=self.history_s, is_live=False))
            if not self._is_stopped.is_set():
                self.phase = live_phase(self.live_s)
                self._send(replace(common, live_s=self.live_s, incidents=incidents(self.live_s)))
        except CliError as error:
            self.error = error

    def _send(self, options: RunOptions) -> None:
        with opened_sink(self.settings, to_stdout=False) as sink:
            progress = Progress("demo", stream=io.StringIO(), style="quiet")
            report = run_simulation(options, StoppableSink(sink, self._is_stopped), progress=progress)
        self.sent += report.acknowledged


class StoppableSink:
    """A sink that ends the sending as Ctrl-C would, which a thread beside the main one never sees."""

    def __init__(self, sink: EventSink, is_stopped: threading.Event) -> None:
        self._sink = sink
        self._is_stopped = is_stopped

    @property
    def acknowledged(self) -> int:
        """Events that are stored for certain."""
        return self._sink.acknowledged

    def send(self, event: Event | bytes, event_id: str | None = None) -> None:
        """Take one event.

        Raises:
            KeyboardInterrupt: the sending was stopped.
        """
        self._look()
        self._sink.send(event, event_id)

    def send_alone(self, value: bytes) -> None:
        """Take bytes as a record of their own.

        Raises:
            KeyboardInterrupt: the sending was stopped.
        """
        self._look()
        self._sink.send_alone(value)

    def push(self) -> None:
        """Send what is held back for packing."""
        self._sink.push()

    def flush(self) -> None:
        """Wait for every acknowledgement."""
        self._sink.flush()

    def close(self) -> None:
        """Flush and release."""
        self._sink.close()

    def _look(self) -> None:
        if self._is_stopped.is_set():
            raise KeyboardInterrupt
