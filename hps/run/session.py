"""What the parts of one run share, from when its folder is locked until it is cleaned up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hps.model import Failure, Operation, Plan
from hps.node.probe.check import TargetCheck
from hps.process.stop import SignalStop
from hps.results.lock import RunLock
from hps.results.record import Record, RunIdentity
from hps.run.environment import Tools


class Listener(Protocol):
    """Who watches a run: the events, and each operation as it starts and ends."""

    def event(self, name: str, **fields: object) -> None:
        """Something happened that a person or a log wants to know of."""

    def started(self, operation: Operation) -> None:
        """This operation starts now."""

    def stored(self, record: Record) -> None:
        """This result is on disk."""


@dataclass(slots=True)
class RememberingListener:
    """A listener that remembers what could not be removed from a bucket, and why."""

    listener: Listener
    left_behind: list[str] = field(default_factory=list)

    def event(self, name: str, **fields: object) -> None:
        if name == "clean_up_failed":
            self.left_behind.append(f"{fields['key']} ({fields['what']}): {fields['reason']}")
        self.listener.event(name, **fields)

    def started(self, operation: Operation) -> None:
        self.listener.started(operation)

    def stored(self, record: Record) -> None:
        self.listener.stored(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What the checks came to. `away` says why the results' own target can't be used for now.

    `failure`, of the target `target`, is what keeps the run from beginning; None: nothing does.
    """

    checked: tuple[TargetCheck, ...] = ()
    failure: Failure | None = None
    target: str = ""
    away: Failure | None = None

    @property
    def left(self) -> bool:
        """True where something that was written to a target could not be deleted again."""
        return any(one.leftover for one in self.checked)

    def why_unusable(self, target: str) -> str:
        """Why a target can't be used, as far as it was checked; empty: nothing is against it."""
        found = (one.failure for one in self.checked if one.target == target)
        return next((why.reason for why in found if why is not None), "")


NOT_CHECKED = Preflight()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One start of `hps run`.

    `identity` is that of a new run, `home` the folder where such a run's journal belongs, and
    `lock` is held on that folder. `env` is what node facts are looked up in; `render` makes the
    files beside a journal. A failure in `preflight` turns the node down.
    """

    plan: Plan
    env: Mapping[str, str] = field(repr=False)
    render: Callable[[Path], Mapping[str, str]]
    tools: Tools
    stop: SignalStop
    listener: RememberingListener
    started_at: datetime
    identity: RunIdentity
    home: Path
    lock: RunLock
    preflight: Preflight = NOT_CHECKED

    @property
    def results_target(self) -> str:
        """The name of the target that has the results."""
        return self.plan.spec.results.target

    @property
    def bucket_folder(self) -> str:
        """Where the experiment's results belong in the bucket: a folder for each machine."""
        spec = self.plan.spec
        return "/".join(part for part in (spec.results.folder, spec.name) if part)

    @property
    def fetched(self) -> Path:
        """Where the journals are that the bucket has, by machine."""
        return self.tools.scratch / "fetched"
