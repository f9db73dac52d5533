"""What went wrong, on standard error: without secrets, and without what a terminal would obey."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import sys
import threading
import traceback
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, cast

from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, HpsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import ReadableBuffer

    from hps.log import Format
    from hps.model import Spec
    from hps.redaction import Scrubber


_BUG = "hps: this is a bug of hps, not a mistake of yours; please report it\n"
# Named by the experiment; those that their names give away are known anyway.
_secrets: dict[str, str] = {}


def keep_out_secrets_of(spec: Spec) -> None:
    """Take what an experiment names as secrets out of everything that is told from now on."""
    from hps.spec.secret_values import secret_env_names

    _secrets.update((name, os.environ.get(name, "")) for name in secret_env_names(spec))


def print_error(text: str) -> None:
    """Print a line or more. Nothing that it holds of the environment's secrets is shown."""
    from hps.redaction import Scrubber

    clean = _printable(Scrubber(_secrets).text(text))
    write_stderr(clean if clean.endswith("\n") else f"{clean}\n")


def write_stderr(text: str) -> None:
    """Print on standard error what holds no secret, and may hold colours."""
    # That nobody listens any more must not hide how the command ends.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def print_hps_error(error: HpsError) -> None:
    """A mistake that a person can mend."""
    hint = f"\n     {error.hint}" if error.hint else ""
    print_error(f"hps: {error.message}{hint}")


def print_usage_error(show: Callable[[io.StringIO], None]) -> None:
    """What `show` writes: a command line that is not understood."""
    shown = io.StringIO()
    show(shown)
    print_error(shown.getvalue())


def print_bug() -> None:
    """The exception that is being handled, with its traceback."""
    print_error(f"{traceback.format_exc()}{_BUG}")


def print_unexpected(error: Exception) -> int:
    """What nobody expected, and is being handled: a disk's fault or a bug. The exit code."""
    from hps.catalog.failures import KINDS, OF_A_DISK, of_system
    from hps.errors import EXIT_BUG, MachineError

    if not (isinstance(error, OSError) and error.errno in OF_A_DISK):
        print_bug()
        return EXIT_BUG
    why = of_system(error, "a file that the system does not name")
    machine = MachineError(why.text, KINDS[why.code].hint)
    print_hps_error(machine)
    return machine.exit_code


def configure_log(spec: Spec | None, env: Mapping[str, str], style: Format) -> Scrubber:
    """Set up events; what the experiment names as secrets is kept out of them."""
    from hps import log
    from hps.redaction import Scrubber
    from hps.run.environment import scrubber_of

    names = {
        reference.env
        for target in (spec.targets.values() if spec else ())
        for reference in target.secrets
    }
    secrets = {name: env.get(name, "") for name in names}
    scrubber = scrubber_of(spec, secrets, env) if spec else Scrubber(secrets)
    log.configure(style, scrubber)
    return scrubber


def catch_the_rest() -> None:
    """Tracebacks that Python itself prints, of threads for example, are told like those above."""
    sys.excepthook = _print_uncaught
    threading.excepthook = lambda it: _print_uncaught(it.exc_type, it.exc_value, it.exc_traceback)
    sys.unraisablehook = lambda it: _print_uncaught(it.exc_type, it.exc_value, it.exc_traceback)


def _print_uncaught(
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    lines = traceback.format_exception(kind, error, trace)
    print_error(f"{''.join(lines)}{_BUG}")


def _printable(text: str) -> str:
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode("ascii")
        for one in text
    )


# -------------------------------------------------------------------------------------------------
# Standard input, output and error as they come: some are closed, full, or read by nobody.

_lost: list[str] = []


def prepare() -> None:
    """Make the standard streams of this process safe to use. Once, before any file is opened.

    A descriptor that is closed would be that of the next file, a journal say, and events would be
    written into it. `sys.stdin` stays None where it is closed: who asks for it says so.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest one that is free. Standard output can't be written to: its text is lost.
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
    sys.stdout = _opened(1, sys.stdout, "strict")
    sys.stderr = _opened(2, sys.stderr, "backslashreplace")


def exit_code(code: int) -> int:
    """A command's exit code: one whose answer got lost has not succeeded."""
    return EXIT_OPERATION_FAILED if _lost and code == EXIT_OK else code


def _opened(descriptor: int, now: TextIO | None, errors: str) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(descriptor, "w", closefd=False)),
        encoding=now.encoding if now is not None else "utf-8",
        errors=now.errors if now is not None else errors,
        line_buffering=descriptor == 2,
    )


class _Stream(io.FileIO):
    """What can't be written is told once, if it is the answer; from then on all goes nowhere.

    That nobody reads any more (`hps compare … | head`) is no mistake.
    """

    def write(self, data: ReadableBuffer) -> int:
        try:
            return self._written(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.fileno() == 1 and error.errno != errno.EPIPE:
                _note_lost_answer(error)
        return memoryview(data).nbytes

    def _written(self, data: ReadableBuffer) -> int:
        """How many bytes; a pipe that is full, and was made not to wait, is waited for."""
        while (count := cast("int | None", super().write(data))) is None:
            select.select([], [self], [])
        return count


def _note_lost_answer(error: OSError) -> None:
    closed = error.errno == errno.EBADF
    _lost.append("standard output is closed" if closed else str(error.strerror))
    print_error(f"hps: the answer could not be printed: {_lost[-1]}")


# -------------------------------------------------------------------------------------------------
# Standard output is the answer: printed whole, and without what a terminal would obey.

# Results may be anybody's. A terminal obeys these, or shows text in another order; a lone surrogate
# is no text. What ends a line of CSV stays.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def answer(text: str, *, coloured: bool = False) -> None:
    """Print an answer.

    Control characters are printed as the escapes of JSON, unless the text is `coloured`: whoever
    does that has looked after the rest.
    """
    sys.stdout.write(text if coloured else _OBEYED.sub(_escaped, text))
    sys.stdout.flush()


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


# -------------------------------------------------------------------------------------------------
# Optional parts of `hps`: what they need is installed with an extra, and named where it lacks.

REPORT = ("duckdb", "scipy", "vl_convert", "jinja2")


def require_report() -> None:
    """Raises `HpsError` where the extra `report` is not installed, with what to type."""
    missing = [name for name in REPORT if find_spec(name) is None]
    if missing:
        raise HpsError(
            f"not installed: {', '.join(missing)}",
            "collecting, comparing and reporting need the extra 'report': pip install 'hps[report]'"
            " (in a checkout: pip install -c constraints.txt -e '.[report]')",
        )
