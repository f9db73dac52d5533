"""How a benchmark ends: with a code that says why, and with everything cleaned up on the way."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from hps.errors import EXIT_INTERRUPTED, HpsError


def told(main: Callable[[], int]) -> int:
    """Run `main`; what goes wrong is told in a line or two, and gives its own exit code.

    A signal to end is an exception, so that links and servers are taken down.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _quit)
    try:
        return main()
    except HpsError as error:
        print(f"{error.message}\n  {error.hint}" if error.hint else error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _quit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
