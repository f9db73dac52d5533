"""Which runs may be at work: what these have in a bucket is nobody's to remove.

A run on this machine holds a lock, or says that it is alive. One on another machine shows by its
latest object, upload or journal; where all of that is old enough it is taken to have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hps import admission
from hps.clean import found
from hps.clean.here import EndedRun, Here
from hps.model import ResultsPlace
from hps.probe.link import Link
from hps.steps.context import RunStop
from hps.store import alive
from hps.surroundings import Tools

AT_WORK = "it is at work on this machine"
# A server may finish what a killed tool had sent, and its clock may be ahead.
_LATE = timedelta(minutes=2)
PERHAPS_AT_WORK = "it may be at work on another machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """`ended` runs were on this machine, and nobody went on with them; `journals` came when."""

    live: Set[str]
    ended: Set[str]
    journals: Mapping[str, datetime] = field(default_factory=dict)

    def last(self, run_id: str, newest: datetime | None) -> datetime | None:
        """The last sign of life, where the newest that the run has in a target is known."""
        return found.latest((began(run_id), newest, self.journals.get(run_id)))

    def why_kept(self, run_id: str, last: datetime | None, older_than_s: float) -> str:
        """Why a run may be at work; empty where it is not."""
        if run_id in self.live or alive.is_alive(run_id):
            return AT_WORK
        if run_id in self.ended or last is None:
            return ""
        age_s = (datetime.now(UTC) - last).total_seconds()
        return "" if age_s >= older_than_s else PERHAPS_AT_WORK


def signs(
    newest: Mapping[str, datetime | None],
    known: Here,
    place: ResultsPlace,
    experiment: str,
    tools: Tools,
    stop: RunStop,
) -> Signs:
    """What is known of runs here and in the bucket that has their results.

    `newest` is when the latest came that each has in a target.
    Raises `MachineError` where that can't be listed.
    """
    ended = {
        run: known.ended[run]
        for run, moment in newest.items()
        if run in known.ended and not _is_later(moment, known.ended[run])
    }
    if place.target not in tools.targets:
        return Signs(live=known.live, ended=set(ended))
    folder = "/".join(part for part in (place.folder, experiment) if part)
    link = tools.link(place.target, folder, stop)
    journals = found.journals(link, stop)
    here = {run for run, one in ended.items() if _is_as_here(run, one.journal, link)}
    return Signs(live=known.live, ended=here, journals=journals)


def began(run_id: str) -> datetime | None:
    """When a run began, as its id says."""
    try:
        return datetime.strptime(run_id[:18] + "000+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return None  # of the right form, but no moment


def _is_later(moment: datetime | None, ended: EndedRun) -> bool:
    """True for what came so long after a run ended here that somebody may have gone on with it."""
    return moment is not None and moment > ended.last + _LATE


def _is_as_here(run_id: str, journal: Path, link: Link) -> bool:
    """True unless the bucket has what this machine has not: somebody went on with the run."""
    into = link.scratch / "journals" / run_id
    if admission.fetch_journals(link, f"/*/{run_id}.jsonl", into):
        return False
    fetched = list(into.rglob("*.jsonl")) if into.is_dir() else []
    own = journal.read_bytes() if journal.is_file() else b""
    return all(
        path.parent.name == journal.parent.name and own.startswith(path.read_bytes())
        for path in fetched
    )
