"""Standard input, output and error as they come: some are closed, full, or read by nobody."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO, cast

from hps.commands import complaint
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

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
                _tell(error)
        return memoryview(data).nbytes

    def _written(self, data: ReadableBuffer) -> int:
        """How many bytes; a pipe that is full, and was made not to wait, is waited for."""
        while (count := cast("int | None", super().write(data))) is None:
            select.select([], [self], [])
        return count


def _tell(error: OSError) -> None:
    closed = error.errno == errno.EBADF
    _lost.append("standard output is closed" if closed else str(error.strerror))
    complaint.tell(f"hps: the answer could not be printed: {_lost[-1]}")
