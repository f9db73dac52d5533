"""A value that was measured or looked up, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from hps.catalog.failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`value` in the unit that its name gives; None: unknown, and `reason` says why.

    A failed measurement is never a number: no 0, no huge value, no bound in its place. Code and
    owner are those of `hps.catalog.failures`, empty where nothing tells them.
    """

    value: float | str | None
    reason: str = ""
    reason_code: str = ""
    reason_owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """What stands where a measurement failed."""

    reason: str


def known(value: float | str) -> Reading:
    """A reading that succeeded."""
    return Reading(value=value)


def unknown(reason: str) -> Reading:
    """A reading that failed, or was never taken."""
    return Reading(value=None, reason=reason)


def failed(why: Failure) -> Reading:
    """A reading that failed, and whose fault that is."""
    return Reading(value=None, reason=why.reason, reason_code=why.code, reason_owner=why.owner)


def describe(error: BaseException) -> str:
    """One line for a person: what the system said, else the kind of error. At most 200 characters.

    >>> describe(FileNotFoundError(2, "No such file or directory", "/x"))
    'No such file or directory'
    """
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = said.strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
