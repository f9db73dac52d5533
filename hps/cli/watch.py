"""Looking again and again, until what is looked at is over or somebody stops it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from hps.cli import output
from hps.cli.output import answer, print_hps_error
from hps.errors import EXIT_OK, HpsError, printable
from hps.units import format_time

if TYPE_CHECKING:
    from hps.process.stop import SignalStop

_CLEAR = "\x1b[H\x1b[J"
_WIDTH = 80


def repeat(
    look: Callable[[], bool],
    every_s: float,
    stop: SignalStop,
    *,
    show_error: Callable[[HpsError], None] = print_hps_error,
) -> int:
    """Look until that says that all is over, or nobody reads the answer. Returns the exit code.

    A look that fails, for the network is away perhaps, is shown and followed by the next.
    """
    while not stop.is_set():
        try:
            if look() or not output.is_read():
                return EXIT_OK
        except HpsError as error:
            if not stop.is_set():
                show_error(error)
        stop.wait(every_s)
    return stop.exit_code


class Screen:
    """Shows a text in place of the one before it, on a terminal."""

    def __init__(self, every_s: float) -> None:
        self._shown = ""
        self._every_s = every_s

    @staticmethod
    def is_there() -> bool:
        """True where standard output is a terminal."""
        return sys.stdout.isatty()

    def show(self, text: str) -> None:
        self._shown = text
        self._draw("Ctrl-C ends this, and not the fleet")

    def show_error(self, error: HpsError) -> None:
        """Add to the text shown last why there is no newer one."""
        self._draw(f"! {error.message}")

    def _draw(self, remark: str) -> None:
        end = f"; the next look is in {format_time(self._every_s)}"
        shown = printable(remark)
        if len(shown) + len(end) > _WIDTH:
            shown = f"{shown[: _WIDTH - len(end) - 1]}…"
        answer(_CLEAR, coloured=True)
        answer(f"{self._shown}\n{shown}{end}\n")
