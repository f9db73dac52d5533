"""Listing what interrupted runs left in an experiment's targets, and removing it.

targets -> what each run has there -> which runs may be at work -> the rest is removed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hps.clean import candidates
from hps.clean.candidates import FoundOfRun, Here
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, MachineError
from hps.model import Spec, Target
from hps.node.facts import machine_id
from hps.results import lock
from hps.run.session import Tools, open_tools
from hps.run_folder import experiment_folder, run_folder
from hps.steps.context import RunStop
from hps.targets import cleanup
from hps.tools import CLIENT

_REMOVE_TIMEOUT_S = 600.0
_STILL_THERE = "something of it is still there"
Event = Callable[..., object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRequest:
    """What to do. `run_id` empty: with all runs. `remove` False: only list.

    What a run has stays for `older_than_s` after its last sign of life, since it may be at work on
    another machine.
    """

    older_than_s: float
    run_id: str = ""
    remove: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What one run has in one target. `seen` is the run's last sign of life.

    `kept` says why it must not be removed, `failed` why it could not be; both are empty where it
    was removed, or only listed.
    """

    target: str
    run_id: str
    objects: int
    size_bytes: int
    uploads: int
    seen: datetime | None
    kept: str = ""
    removed: bool = False
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was found. `unknown` says by target why it could not be listed.

    `places` has the bucket and folder of each target; `embedded` targets end with each run.
    """

    leftovers: tuple[Leftover, ...]
    unknown: Mapping[str, str]
    places: Mapping[str, str]
    embedded: tuple[str, ...]

    @property
    def code(self) -> int:
        wrong = self.unknown or any(item.failed for item in self.leftovers)
        return EXIT_OPERATION_FAILED if wrong else EXIT_OK


def clean(
    spec: Spec,
    env: Mapping[str, str],
    output: Path,
    request: CleanRequest,
    stop: RunStop,
    event: Event,
) -> Cleaned:
    """List what runs of an experiment left; with `request.remove` remove it, but for live runs.

    `output` is where runs on this machine keep results. Raises `HpsError` where it can't begin.
    """
    embedded = tuple(name for name, target in spec.targets.items() if target.provider == "embedded")
    names = _distinct(spec.targets)
    if not names:
        return Cleaned(leftovers=(), unknown={}, places={}, embedded=embedded)
    real = {name: target for name, target in spec.targets.items() if name not in embedded}
    with open_tools(replace(spec, targets=real), env) as tools:
        cleaning = _Cleaning(
            spec=spec, env=env, output=output, request=request, tools=tools, stop=stop
        )
        leftovers, unknown = cleaning.clean(names, event)
        places = {name: CLIENT.path(tools.targets[name]) for name in names}
    return Cleaned(leftovers=tuple(leftovers), unknown=unknown, places=places, embedded=embedded)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cleaning:
    spec: Spec
    env: Mapping[str, str]
    output: Path
    request: CleanRequest
    tools: Tools
    stop: RunStop

    def clean(self, names: list[str], event: Event) -> tuple[list[Leftover], dict[str, str]]:
        """List, judge and remove; return what was found, and by target why it is unknown."""
        leftovers: list[Leftover] = []
        unknown: dict[str, str] = {}
        for name in names:
            event("looking", target=name)
            found_here, wrong = self._look(name)
            leftovers += found_here
            unknown |= {name: wrong} if wrong else {}
        if not leftovers:
            return leftovers, unknown
        with candidates.locked(self.output / self.spec.name, machine_id(self.env)) as known:
            try:
                judged = self._judged(leftovers, known)
            except MachineError as error:
                why = "whether it is at work can't be known"
                unknown["results"] = error.message
                return [replace(item, kept=why) for item in leftovers], unknown
            if not self.request.remove:
                return judged, unknown
            removed = [self._removed(item, event) for item in judged]
        return self._checked(removed), unknown

    def _look(self, name: str) -> tuple[list[Leftover], str]:
        """What runs have in a target, and where that is not all, why."""
        link = self.tools.link(name, experiment_folder(self.spec.name), self.stop)
        try:
            found = candidates.find(link, self.stop)
        except MachineError as error:
            return [], error.message
        leftovers = [
            _leftover(name, run_id, has)
            for run_id, has in sorted(found.runs.items())
            if self.request.run_id in {"", run_id}
        ]
        return leftovers, found.unknown

    def _judged(self, leftovers: list[Leftover], known: Here) -> list[Leftover]:
        """Add the last sign of life of each run, and why it is kept."""
        newest: dict[str, datetime | None] = {}
        for item in leftovers:  # a run may have something in several targets
            newest[item.run_id] = candidates.latest((newest.get(item.run_id), item.seen))
        place, tools = self.spec.results, self.tools
        signs = candidates.signs(newest, known, place, self.spec.name, tools, self.stop)
        judged = []
        for item in leftovers:
            seen = signs.last(item.run_id, newest[item.run_id])
            kept = signs.why_kept(item.run_id, seen, self.request.older_than_s)
            judged.append(replace(item, seen=seen, kept=kept))
        return judged

    def _removed(self, item: Leftover, event: Event) -> Leftover:
        """Remove it unless it is kept, and add whether that succeeded."""
        if item.kept or self.stop.is_set():
            return item
        if lock.is_alive(item.run_id):  # it was resumed meanwhile
            return replace(item, kept=candidates.AT_WORK)
        event("removing", target=item.target, run_id=item.run_id, objects=item.objects)
        folder = run_folder(self.spec.name, item.run_id)
        link = self.tools.link(item.target, folder.key, self.stop)
        wrongs = [
            remove(link, folder, timeout_s=_REMOVE_TIMEOUT_S, stop=self.stop)
            for remove in (cleanup.abort_uploads, cleanup.delete_objects)
        ]
        failed = next((wrong.reason for wrong in wrongs if wrong), "")
        return replace(item, removed=not failed, failed=failed)

    def _checked(self, leftovers: list[Leftover]) -> list[Leftover]:
        """List once more, and mark as failed what was removed and is still there."""
        still: dict[tuple[str, str], str] = {}
        for name in dict.fromkeys(item.target for item in leftovers if item.removed):
            now, wrong = self._look(name)
            still |= {(name, item.run_id): _STILL_THERE for item in now}
            still |= {(name, item.run_id): wrong for item in leftovers if wrong}
        return [
            replace(item, removed=False, failed=still[item.target, item.run_id])
            if item.removed and (item.target, item.run_id) in still
            else item
            for item in leftovers
        ]


def _leftover(target: str, run_id: str, has: FoundOfRun) -> Leftover:
    return Leftover(
        target=target,
        run_id=run_id,
        objects=has.objects,
        size_bytes=has.size_bytes,
        uploads=has.uploads,
        seen=has.newest,
    )


def _distinct(targets: Mapping[str, Target]) -> list[str]:
    """The names of targets that last beyond a run, each place once."""
    places: dict[object, str] = {}
    for name, target in targets.items():
        if target.provider != "embedded":
            place = (target.endpoint, target.account, target.bucket, target.folder)
            places.setdefault(place, name)
    return list(places.values())
