"""What the client of buckets says and answers, in words of no tool.

The client is the program by which `hps` itself reaches buckets, whichever tool is measured. Its
calls are built in its own package; `hps.targets` starts them, and no other package does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hps.model import Failure
from hps.tools.invocation import Invocation

# The end of the names of files that are not whole.
PARTIAL = ".hps-partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCall:
    """A call of the client. `explain` says, by its exit code and its log, why it failed; None: it
    did not. `trouble` is what went wrong so far, by the log of one that may still be at work.
    """

    invocation: Invocation
    explain: Callable[[int, str], Failure | None]
    trouble: Callable[[str], Failure | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An object or upload. `at` is when the server received it, or when the upload began."""

    key: str
    at: datetime | None
    size_bytes: int = 0


# -------------------------------------------------------------------------------------------------
# A copy of many files.


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is. The totals grow while the bucket is still being listed."""

    files: int = 0
    files_total: int = 0
    bytes: int = 0
    listed: int = 0
    checked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """The result of a copy, by the names of files below the folder.

    `checked` files were there before. `error` is why not all could be looked at; why single files
    failed is in `failed`, and no further try can mend those that are `for_good`.
    """

    new: frozenset[str]
    replaced: frozenset[str]
    failed: dict[str, str]
    for_good: frozenset[str]
    checked: int
    bytes: int
    nothing_there: bool
    error: str


class CopyLog(Protocol):
    """The log of a copy that may still be at work."""

    def read(self) -> Progress:
        """Read what was written since the last time. Returns how far the copy is."""

    def copied(self, code: int) -> Copied:
        """The result, by the rest of the log, once the process has ended with this exit code."""


# -------------------------------------------------------------------------------------------------
# Copies of single files, by a client that goes on running.


class ForeignObjectError(Exception):
    """The object of this key was sent by somebody else."""


class Courier(Protocol):
    """Sends one file at a time, at once. `restarts` counts how often its program had to be started
    again, since it had died or hung.
    """

    restarts: int

    def copy(
        self,
        source: Path,
        key: str,
        *,
        timeout_s: float,
        is_cut_off: Callable[[], bool] = ...,
        own: bool = True,
    ) -> Failure | None:
        """Copy a file to `key` below the target's folder. Returns why it failed.

        It is cut off after `timeout_s`, or as soon as `is_cut_off()`. An object of this key is
        replaced; where `own` is False, only if the file begins with its content, and
        `ForeignObjectError` is raised otherwise.
        """
