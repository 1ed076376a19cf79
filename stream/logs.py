"""Logs of the worker: one line per checkpoint with counts and offsets, never a prompt, an answer or an event."""

from __future__ import annotations

import logging
import sys

import structlog

from tokentide.config.settings import LogSettings
from tokentide.stream.log_flood import FloodFilter


def configure_logs(settings: LogSettings) -> None:
    """Console lines on a terminal, JSON lines otherwise; Faust and the clients speak only of trouble."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    as_console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_console
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(FloodFilter(["aiokafka"]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tokentide").setLevel(level)
    # Faust logs under the name of the class that it runs, which here is ours.
    for module in ("app", "transport"):
        logging.getLogger(f"tokentide.stream.{module}").setLevel(logging.WARNING)
