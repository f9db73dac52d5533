"""Events: one JSON object a line on standard error, or readable lines on a terminal."""

from __future__ import annotations

import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from hps.scrub import Scrubber

Format = Literal["auto", "json", "text"]


def configure(style: Format, scrubber: Scrubber, stream: TextIO | None = None) -> None:
    """Set up events for this process: `auto` is text on a terminal and JSON anywhere else."""
    stream = stream or sys.stderr
    readable = style == "text" or (style == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24)
        if readable
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    stamp = "%H:%M:%S" if readable else "iso"

    def scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {key: scrubber.data(value) for key, value in event.items()}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=stamp, utc=not readable),
            scrub,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def events() -> FilteringBoundLogger:
    """The logger that everything in this process shares."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger
