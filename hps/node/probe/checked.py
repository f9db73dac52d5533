"""What a check of a target found: its calls, and why those that failed did."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hps.catalog.failures import missing_right
from hps.model import Failure

# The names of the calls, in the order in which they are shown.
CALLS = ("write", "read", "list", "multipart", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedCall:
    """One call of a check. `failure` is None where it succeeded."""

    name: str
    duration_s: float
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCheck:
    """The check of a target. `clock_offset_s` is how far its clock is ahead of this machine's.

    `leftover` names the folder of what could not be deleted again; empty: nothing remains. `whole`
    is False where the time was over before all calls had been tried.
    """

    target: str
    calls: tuple[TriedCall, ...]
    clock_offset_s: float | None = None
    leftover: str = ""
    whole: bool = True

    @property
    def failure(self) -> Failure | None:
        """The first failure; all missing rights are named together."""
        wrong = [one.failure for one in self.calls if one.failure is not None]
        rights = list(dict.fromkeys(filter(None, map(missing_right, wrong))))
        if len(rights) < 2:
            return wrong[0] if wrong else None
        first = next(filter(missing_right, wrong))
        return replace(first, hint=f"give the key the rights {', '.join(rights)}")
