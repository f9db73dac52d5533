"""Errors that come of a person's input or of a machine, and the exit codes. Others are bugs."""

from __future__ import annotations

EXIT_OK = 0
EXIT_OPERATION_FAILED = 1
EXIT_USAGE = 2
EXIT_NODE_REJECTED = 3
EXIT_GATE_FAILED = 4
EXIT_NO_DATA = 5
EXIT_NOT_STORED = 6
EXIT_NOT_OVER = 7
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class HpsError(Exception):
    """A mistake that a person can mend: what is wrong, and what to do about it.

    It is caught in `hps.cli.main` alone, printed as two lines, and ends in `exit_code`.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnitError(HpsError):
    """A size, rate or time that cannot be read."""


class MachineError(HpsError):
    """This machine can't do what the experiment needs, a full disk for example."""

    exit_code = EXIT_OPERATION_FAILED


class GuardError(HpsError):
    """The guard, which cleans up after this process, is gone, and no other could be started."""


class MissingProgramError(HpsError):
    """A program that can't be started: there is no such file, or it is no program."""


class NotStoredError(HpsError):
    """Results could not be written where they belong."""

    exit_code = EXIT_NOT_STORED


def describe(error: BaseException) -> str:
    """One line for a person: the system's message, else the kind of error. At most 200 characters.

    >>> describe(FileNotFoundError(2, "No such file or directory", "/x"))
    'No such file or directory'
    """
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = message.strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


def printable(text: str, most_characters: int | None = None) -> str:
    """The text on one line, cut, with U+FFFD for each character that a terminal would obey."""
    shown = text[:most_characters]
    return "".join(one if one.isprintable() else "\ufffd" for one in shown)
