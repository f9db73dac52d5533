"""What goes wrong because of a person's input or a machine, as opposed to a bug of ours."""

from __future__ import annotations

EXIT_OK = 0
EXIT_OPERATION_FAILED = 1
EXIT_USAGE = 2
EXIT_NODE_REJECTED = 3
EXIT_GATE_FAILED = 4
EXIT_NO_DATA = 5
EXIT_NOT_STORED = 6
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
    """The process that ends and removes what this one leaves is gone, and no other can be had."""


class MissingProgramError(HpsError):
    """A program that can't be started: it is not there, or none."""


class NotStoredError(HpsError):
    """Results could not be written where they belong."""

    exit_code = EXIT_NOT_STORED


def describe(error: BaseException) -> str:
    """One line for a person: what the system said, else the kind of error. At most 200 characters.

    >>> describe(FileNotFoundError(2, "No such file or directory", "/x"))
    'No such file or directory'
    """
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = said.strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
