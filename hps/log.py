"""Events: one JSON object a line on standard error, or readable lines on a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from hps.redaction import Scrubber

Format = Literal["auto", "json", "text"]


def configure(style: Format, scrubber: Scrubber, stream: TextIO | None = None) -> None:
    """Set up events for this process: `auto` is text on a terminal and JSON anywhere else."""
    out = stream or cast(TextIO, _CurrentStderr())
    readable = style == "text" or (style == "auto" and out.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=24)
        if readable
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    stamp = "%H:%M:%S" if readable else "iso"

    def scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return scrubber.event(event)

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=stamp, utc=not readable),
            scrub,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


class _CurrentStderr(io.TextIOBase):
    """`sys.stderr` at the moment of each event: a live progress bar replaces it for a while."""

    def write(self, text: str) -> int:
        with _surviving_closed_stderr():
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with _surviving_closed_stderr():
            sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


@contextlib.contextmanager
def _surviving_closed_stderr() -> Iterator[None]:
    """A closed pipe or a lost terminal does not end a run: further events are dropped."""
    try:
        yield
    except OSError:
        sys.stderr = io.TextIOWrapper(Path(os.devnull).open("wb"))  # noqa: SIM115 - until exit


def events() -> FilteringBoundLogger:
    """The logger that everything in this process shares."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger
