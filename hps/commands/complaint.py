"""What went wrong, on standard error: without secrets, and without what a terminal would obey."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hps.errors import HpsError
    from hps.model import Spec
    from hps.validation import CheckedFile

_BUG = "hps: this is a bug of hps, not a mistake of yours; please report it\n"
# Named by the experiment; those that their names give away are known anyway.
_secrets: dict[str, str] = {}


def keep_out_secrets_of(spec: Spec) -> None:
    """Take what an experiment names as secrets out of everything that is told from now on."""
    from hps.spec import secret_env_names

    _secrets.update((name, os.environ.get(name, "")) for name in secret_env_names(spec))


def tell(text: str) -> None:
    """Print a line or more. Nothing that it holds of the environment's secrets is shown."""
    from hps.scrub import Scrubber

    clean = _printable(Scrubber(_secrets).text(text))
    _write(clean if clean.endswith("\n") else f"{clean}\n")


def tell_error(error: HpsError) -> None:
    """A mistake that a person can mend."""
    hint = f"\n     {error.hint}" if error.hint else ""
    tell(f"hps: {error.message}{hint}")


def tell_problems(checked: CheckedFile) -> None:
    """Why a file is no experiment; on a terminal in colour."""
    from hps import validation

    _write(validation.explain(checked, terminal=sys.stderr.isatty()))


def tell_shown(show: Callable[[io.StringIO], None]) -> None:
    """What `show` writes: a command line that is not understood."""
    shown = io.StringIO()
    show(shown)
    tell(shown.getvalue())


def tell_bug() -> None:
    """The exception that is being handled, with its traceback."""
    tell(f"{traceback.format_exc()}{_BUG}")


def tell_of(error: Exception) -> int:
    """What nobody expected, and is being handled: a disk's fault or a bug. The exit code."""
    from hps.catalog.failures import KINDS, OF_A_DISK, of_system
    from hps.errors import EXIT_BUG, MachineError

    if not (isinstance(error, OSError) and error.errno in OF_A_DISK):
        tell_bug()
        return EXIT_BUG
    why = of_system(error, "a file that the system does not name")
    machine = MachineError(why.text, KINDS[why.code].hint)
    tell_error(machine)
    return machine.exit_code


def catch_the_rest() -> None:
    """Tracebacks that Python itself prints, of threads for example, are told like those above."""
    sys.excepthook = _told
    threading.excepthook = lambda told: _told(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _told(told.exc_type, told.exc_value, told.exc_traceback)


def _told(
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    lines = traceback.format_exception(kind, error, trace)
    tell(f"{''.join(lines)}{_BUG}")


def _write(text: str) -> None:
    # That nobody listens any more must not hide how the command ends.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _printable(text: str) -> str:
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode("ascii")
        for one in text
    )
