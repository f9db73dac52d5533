"""Which run goes on: a new one, or one that was ended before it had done everything.

this machine's journals, on disk and in the bucket -> the newest of this plan -> what it has left
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hps import admission, earlier
from hps.earlier import Earlier, Task
from hps.errors import HpsError
from hps.model import Measurement, Plan
from hps.record import Record, RunIdentity, new_run_id, result_record
from hps.steps.context import Stop
from hps.store.lock import RunLock
from hps.surroundings import Tools
from hps.tools import evidence, rclone

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}Z-[0-9a-f]{6}")
_CLEAN_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the person who starts a run wants of earlier ones.

    `once`: what is finished is not measured again, and what failed is tried again. `rerun` names
    kinds of `earlier.RERUN`; `run_id` the run to go on with. `fresh`: none of it.
    """

    once: bool = False
    fresh: bool = False
    rerun: tuple[str, ...] = ()
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUp:
    """What will be done, under which name, and in which journal. `before` None: a new run."""

    identity: RunIdentity
    journal: Path
    tasks: tuple[Task, ...]
    before: Earlier | None

    @property
    def machine_folder(self) -> str:
        """The name of the folder that the run is kept in: that of the machine that began it."""
        return self.journal.parent.name


def take_up(
    plan: Plan,
    identity: RunIdentity,
    output: Path,
    wish: Wish,
    fetch: Callable[[Path], None],
    event: admission.Event,
    fetched: Path,
) -> TakenUp:
    """The run that goes on; `identity` is that of a new one. No tasks: there is nothing to do.

    `fetch` brings journals from the bucket into a folder for each machine below `fetched`.
    Raises `HpsError` where the run that was named can't go on.
    """
    if wish.run_id and not is_run_id(wish.run_id):
        hint = "such as 20261122T101530123Z-5f3a9c: see `hps results list`"
        raise HpsError(f"--resume: '{wish.run_id}' is not the id of a run", hint)
    home = output / identity.experiment
    here = home / identity.machine_id
    if not wish.fresh and (wish.once or wish.run_id):
        fetch(fetched)
    found = None if wish.fresh else _found(plan, wish, home, here, fetched)
    if found is None:
        return _new(plan, identity, here, event)
    rerun = ("failed",) if wish.once and not wish.rerun else wish.rerun
    left = found.left(plan, rerun)
    if not (left or wish.once or wish.rerun or wish.run_id):
        return _new(plan, identity, here, event)  # a person who runs it again wants it measured
    return TakenUp(
        identity=replace(identity, run_id=found.run_id),
        journal=_restored(found.journal, home) if left else found.journal,
        tasks=left,
        before=found,
    )


def is_run_id(text: str) -> bool:
    """True for what could be the id of a run, and so the name of a folder."""
    return _RUN_ID.fullmatch(text) is not None


def unsent(taken: TakenUp, lock: RunLock, output: Path) -> Path | None:
    """The journal of an earlier run that does not go on, and may never have been sent.

    Either it is finished, and perhaps was killed at its very end, or another one begins.
    """
    killed = str(lock.before.get("run_id", ""))
    if not taken.tasks:
        path = taken.journal
    elif is_run_id(killed) and killed != taken.identity.run_id:
        path = lock.path.with_name(f"{killed}.jsonl")
    else:
        return None
    here = path.is_relative_to(output) and path.is_file() and path.stat().st_size > 0
    return path if here else None


def interrupted(taken: TakenUp, lock: RunLock) -> Record | None:
    """The result of the operation that the earlier run was ended in, where that is known."""
    told, before = lock.before, taken.before
    if before is None or told.get("run_id") != before.run_id:
        return None
    for task in taken.tasks:
        if task.recorded and task.operation.operation_id == told.get("operation_id"):
            measurement = Measurement(
                status="interrupted",
                reason="hps was ended while it ran",
                started_at=str(told.get("operation_started_at")),
            )
            return result_record(taken.identity, task.operation, measurement)
    return None


def remove_leftovers(
    tools: Tools, folder: str, targets: Iterable[str], stop: Stop, event: admission.Event
) -> None:
    """Remove what an ended run left in its own folder of each target: objects, parts of uploads."""
    for name in targets:
        link = tools.link(name, folder, stop)
        for what, make in (("uploads", rclone.abort_uploads), ("objects", rclone.delete)):
            ended = link.run(
                make(link.remote, folder), timeout_s=_CLEAN_TIMEOUT_S, name="leftovers", stop=stop
            )
            if ended.returncode != 0:
                reason = evidence.last_line(link.log("leftovers")) or ended.ended
                event("clean_up_failed", what=what, key=folder, reason=reason)


def _found(plan: Plan, wish: Wish, home: Path, here: Path, fetched: Path) -> Earlier | None:
    if wish.run_id:
        folders = [folder for place in (home, fetched) for folder in place.glob("*/")]
        return earlier.named(wish.run_id, plan, folders)
    return earlier.newest(plan, [here, fetched / here.name])


def _new(plan: Plan, identity: RunIdentity, here: Path, event: admission.Event) -> TakenUp:
    last = max((path.stem for path in here.glob("*.jsonl")), default="")
    other = earlier.changed(plan, here)
    if other:
        event("experiment_changed", unfinished_run=other, reason="a new run begins")
    moment = datetime.strptime(identity.run_id[:18] + "000+0000", "%Y%m%dT%H%M%S%f%z")
    if is_run_id(last) and last >= identity.run_id:
        identity = replace(identity, run_id=new_run_id(moment, after=last))
    return TakenUp(
        identity=identity,
        journal=here / f"{identity.run_id}.jsonl",
        tasks=earlier.tasks(plan.operations),
        before=None,
    )


def _restored(journal: Path, home: Path) -> Path:
    """The journal in the output folder, brought there where it came from the bucket."""
    place = home / journal.parent.name / journal.name
    if place != journal:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_suffix(".restored")
        shutil.copyfile(journal, temporary)
        temporary.replace(place)
    return place
