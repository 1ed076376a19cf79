"""Why Kafka's client cannot connect: it only logs that, and gives up with a time-out. Loads nothing heavy."""

from __future__ import annotations

import logging
from typing import Final


class TroubleKeeper(logging.Handler):
    """Keeps the error that tells most of those the client logged, and writes nothing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: BaseException | None = None

    def forget(self) -> None:
        """Begin anew."""
        self.error = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the exception among the record's arguments, such as of `%s: Connection lost: %s`.

        A refused login is not replaced: most of the further tries end with a closed connection only. The client's own
        time-out says nothing of its cause.
        """
        if type(self.error).__name__ == REFUSED_LOGIN:
            return
        arguments = record.args if isinstance(record.args, tuple) else ()
        for argument in arguments:
            if isinstance(argument, BaseException) and type(argument).__name__ != "KafkaTimeoutError":
                self.error = argument


REFUSED_LOGIN: Final = "SaslAuthenticationFailedError"
TROUBLE: Final = TroubleKeeper()


def keep_kafka_quiet() -> None:
    """Let the client's log lines end here: it reports every lost connection, and at DEBUG whole requests."""
    logger = logging.getLogger("kafka")
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    if TROUBLE not in logger.handlers:
        logger.addHandler(TROUBLE)
