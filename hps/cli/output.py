"""Standard streams: errors without secrets, answers, and neither with what a terminal obeys."""

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
# Those that the experiment names; `Scrubber` finds the others by the names of their variables.
_secrets: dict[str, str] = {}


def keep_out_secrets_of(spec: Spec) -> None:
    """Replace the secrets of an experiment in all that is printed as an error from now on."""
    from hps.spec.secret_values import secret_env_names

    _secrets.update((name, os.environ.get(name, "")) for name in secret_env_names(spec))


def print_error(text: str) -> None:
    """Print a line or more on standard error, with secrets replaced by their names."""
    from hps.redaction import Scrubber

    clean = _printable(Scrubber(_secrets).text(text))
    write_stderr(clean if clean.endswith("\n") else f"{clean}\n")


def write_stderr(text: str) -> None:
    """Write to standard error what holds no secret, and may hold colours."""
    # Where that is closed, the command still ends with its own exit code.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def print_hps_error(error: HpsError) -> None:
    hint = f"\n     {error.hint}" if error.hint else ""
    print_error(f"hps: {error.message}{hint}")


def print_usage_error(show: Callable[[io.StringIO], None]) -> None:
    """Print what `show` writes about a command line that is not understood."""
    shown = io.StringIO()
    show(shown)
    print_error(shown.getvalue())


def print_bug() -> None:
    """Print the exception that is being handled, with its traceback."""
    print_error(f"{traceback.format_exc()}{_BUG}")


def print_unexpected(error: Exception) -> int:
    """Print an exception that no code expects, as a disk's fault or a bug; return the exit code."""
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
    """Set up events, and return what replaces the experiment's secrets in them and elsewhere."""
    from hps import log
    from hps.redaction import Scrubber
    from hps.run.session import scrubber_of
    from hps.spec.secret_values import secret_env_names

    secrets = {name: env.get(name, "") for name in (secret_env_names(spec) if spec else ())}
    scrubber = scrubber_of(spec, secrets, env) if spec else Scrubber(secrets)
    log.configure(style, scrubber)
    return scrubber


def print_other_exceptions() -> None:
    """Print what Python itself prints a traceback of, in a thread for example, like other bugs."""
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
        char
        if char.isprintable() or char in "\n\t"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


# -------------------------------------------------------------------------------------------------
# Standard input, output and error as they come: some are closed, full, or read by nobody.

_lost: list[str] = []
# Descriptors to which nothing can be written any more.
_unread: set[int] = set()


def prepare() -> None:
    """Make the standard streams of this process safe to use. Once, before any file is opened.

    A descriptor that is closed would become that of the next file, for example a journal, and
    events would be written into it. `sys.stdin` stays None where it is closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system gives the lowest number that is free. Standard output is opened for reading
            # alone, so that what is written to it fails, and is noted as lost.
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
    sys.stdout = _opened(1, sys.stdout, "strict")
    sys.stderr = _opened(2, sys.stderr, "backslashreplace")


def is_read() -> bool:
    """False once nobody can read the answer any more: its pipe is closed, or the disk is full."""
    return 1 not in _unread


def exit_code(code: int) -> int:
    """The exit code of a command, which has failed where its answer could not be printed."""
    return EXIT_OPERATION_FAILED if _lost and code == EXIT_OK else code


def _opened(descriptor: int, now: TextIO | None, errors: str) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(descriptor, "w", closefd=False)),
        encoding=now.encoding if now is not None else "utf-8",
        errors=now.errors if now is not None else errors,
        line_buffering=descriptor == 2,
    )


class _Stream(io.FileIO):
    """A stream that drops all text after the first failure, which it reports for the answer alone.

    A reader that closes the pipe early (`hps compare … | head`) is no failure.
    """

    def write(self, data: ReadableBuffer) -> int:
        try:
            return self._written(data)
        except OSError as error:
            _unread.add(self.fileno())
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.fileno() == 1 and error.errno != errno.EPIPE:
                _note_lost_answer(error)
        return memoryview(data).nbytes

    def _written(self, data: ReadableBuffer) -> int:
        """The bytes written, after waiting for a full pipe, even one that is set not to block."""
        while (count := cast("int | None", super().write(data))) is None:
            select.select([], [self], [])
        return count


def _note_lost_answer(error: OSError) -> None:
    closed = error.errno == errno.EBADF
    _lost.append("standard output is closed" if closed else str(error.strerror))
    print_error(f"hps: the answer could not be printed: {_lost[-1]}")


# -------------------------------------------------------------------------------------------------
# Standard output is the answer: printed whole, and without what a terminal would obey.

# Results may hold any text. A terminal obeys these characters, or shows text in another order;
# a lone surrogate is no text. The \r\n that ends a line of CSV stays.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def answer(text: str, *, coloured: bool = False) -> None:
    """Print an answer, with control characters as the escapes of JSON.

    A `coloured` text is printed as it is: whoever colours it escapes the rest.
    """
    sys.stdout.write(text if coloured else _OBEYED.sub(_escaped, text))
    sys.stdout.flush()


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


# -------------------------------------------------------------------------------------------------
# Optional parts of `hps`, whose libraries are installed with an extra.

REPORT = ("duckdb", "scipy", "vl_convert", "jinja2")


def require_report() -> None:
    """Raise `HpsError` where the extra `report` is not installed, with the command to type."""
    missing = [name for name in REPORT if find_spec(name) is None]
    if missing:
        raise HpsError(
            f"not installed: {', '.join(missing)}",
            "collecting, comparing and reporting need the extra 'report': pip install 'hps[report]'"
            " (in a checkout: pip install -c constraints.txt -e '.[report]')",
        )
