"""The only folders that anything is ever removed from: those of this program's own runs.

What a run makes lies at `<target's folder>/data/<experiment>/<run_id>/<trial_id>/…`, and that of
its probe at `…/<run_id>/probe/…`. The run's id is in no other run's names, so that what stands
below it is this program's. Objects beside it may belong to anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What stands for a run's id in a printed command.
BY_HAND = "$RUN_ID"
PROBE = "probe"
CHECK = "check-"  # and a number, for several targets may be the same place
# Older ids have 6 random digits.
_RUN_ID = r"[0-9]{8}T[0-9]{9}Z-(?:[0-9a-f]{12}|[0-9a-f]{6})"
_TRIAL_ID = r"[0-9a-f]{12}"
_EXPERIMENT = r"[a-z0-9][a-z0-9._-]{0,62}"
_FOLDER = re.compile(
    rf"data/(?P<experiment>{_EXPERIMENT})/(?P<run>{_RUN_ID}|{re.escape(BY_HAND)})"
    rf"(?P<part>/(?:{_TRIAL_ID}|{PROBE}|{CHECK}[0-9]+))?",
    re.ASCII,
)
# The names of payloads, those of the probe, and those of the check of a target. rclone, too, reads
# them as regular expressions.
_PAYLOAD = r"(?:[0-9]/)?[0-9]+\.bin"
_PROBED = r"(?:sent|read-[0-9]+)/(?:part-)?[0-9]+\.bin"
_CHECKED = r"(?:object|upload)\.bin"
_OF_A_RUN = (rf"{_TRIAL_ID}/{_PAYLOAD}", rf"{PROBE}/{_PROBED}", rf"{CHECK}[0-9]+/{_CHECKED}")
_MADE = re.compile(rf"(?P<run>{_RUN_ID})/(?:{'|'.join(_OF_A_RUN)})", re.ASCII)


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """A run's folder under a target's, or the part of it that a trial, the probe or the check has.

    Raises `ValueError` for any other key: whatever takes this type reaches no foreign object.
    """

    key: str

    def __post_init__(self) -> None:
        # The name of an experiment may hold dots, but `..` would lead out of the folder.
        if _FOLDER.fullmatch(self.key) is None or ".." in self.key:
            raise ValueError(f"not a folder of a run's own: {self.key!r}")

    @property
    def run_key(self) -> str:
        return "/".join(self.key.split("/")[:3])

    @property
    def part(self) -> str:
        """The id of a trial, `probe` or `check-1`; empty for the folder of the whole run."""
        return self.key.removeprefix(self.run_key).removeprefix("/")

    @property
    def made_patterns(self) -> tuple[str, ...]:
        """Regular expressions that the names of a run's objects in this folder match."""
        if self.part.startswith(CHECK):
            return (_CHECKED,)
        patterns = {"": _OF_A_RUN, PROBE: (_PROBED,)}
        return patterns.get(self.part, (_PAYLOAD,))

    def made(self, key: str) -> bool:
        """True where a run made the object with this key, and it lies in this folder.

        `key` is relative to the target's folder.
        """
        inside = key.startswith(f"{self.key}/")
        return inside and run_that_made(key.split("/", 2)[2]) is not None


def is_run_id(text: str) -> bool:
    """True for text of the form that ids of runs have."""
    return re.fullmatch(_RUN_ID, text, re.ASCII) is not None


def run_that_made(name: str) -> str | None:
    """The id of the run that made `name`, a key under `data/<experiment>/`; None: no run did."""
    found = _MADE.fullmatch(name)
    return found["run"] if found else None


def experiment_folder(experiment: str) -> str:
    """Where the folders of an experiment's runs are, under the target's folder."""
    return f"data/{experiment}"


def run_folder(experiment: str, run_id: str) -> OwnFolder:
    return OwnFolder(f"{experiment_folder(experiment)}/{run_id}")
