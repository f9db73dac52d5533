"""What the parts of one run share, from when its folder is locked until it is cleaned up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from hps.errors import HpsError
from hps.model import Failure, Operation, Plan, Spec, Target
from hps.node.facts import machine_id
from hps.node.probe.checked import TargetCheck
from hps.process import process, temporary
from hps.process.stop import SignalStop
from hps.redaction import Scrubber
from hps.results.lock import RunLock
from hps.results.record import Record, RunIdentity, utc_text
from hps.spec import odd_values
from hps.targets import embedded
from hps.targets.bucket import Link
from hps.tools import CLIENT, TOOLS, proofs
from hps.tools.base import Installed, Missing, Proof

# -------------------------------------------------------------------------------------------------
# The tools of an experiment, its secrets, the scratch folder, and embedded servers.


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What was found and started before the first operation.

    `installed` has each tool that the experiment names, and `proofs` says of each that is here
    whether its version is proved. `binary` and `version` are those of the bucket's client.
    """

    binary: str
    version: str
    installed: Mapping[str, Installed | Missing]
    proofs: Mapping[str, Proof]
    secrets: Mapping[str, str] = field(repr=False)
    guard: process.Guard
    scratch: Path
    targets: Mapping[str, Target]
    scrubber: Scrubber = field(repr=False)

    def link(self, name: str, key: str, stop: process.Stop) -> Link:
        """The link to a folder in the target of this name."""
        return Link(
            target=self.targets[name],
            key=key,
            binary=self.binary,
            secrets=self.secrets,
            guard=self.guard,
            scratch=self.scratch,
            stop=stop,
        )


@contextlib.contextmanager
def open_tools(spec: Spec, env: Mapping[str, str]) -> Iterator[Tools]:
    """What an experiment needs, for the length of a `with` block. Raises `HpsError`."""
    client = CLIENT.find(env)
    binary = client.program
    keys = embedded.new_keys()
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(process.Guard())
        scratch = stack.enter_context(_scratch(guard))
        targets = {
            name: stack.enter_context(_started(target, scratch, binary, keys, guard))
            for name, target in spec.targets.items()
        }
        secrets, installed = _secrets(targets, env, keys), _installed(spec, env, client)
        tools = Tools(
            binary=binary,
            version=client.version,
            installed=installed,
            proofs=proofs.find_all(installed, env),
            secrets=secrets,
            guard=guard,
            scratch=scratch,
            targets=targets,
            scrubber=scrubber_of(spec, secrets, env),
        )
        yield tools


def _installed(
    spec: Spec, env: Mapping[str, str], client: Installed
) -> dict[str, Installed | Missing]:
    """Each tool that a cell may name, and always the client."""
    axes = spec.matrix.axes
    rows = [dict(zip(axis.knobs, row, strict=True)) for axis in axes for row in axis.rows]
    named = {row["tool"] for row in (*rows, *spec.matrix.include) if "tool" in row}
    found = {str(name): TOOLS[str(name)].find(env) for name in named}
    return {**found, CLIENT.name: client}


def scrubber_of(spec: Spec, secrets: Mapping[str, str], env: Mapping[str, str]) -> Scrubber:
    """Takes secrets out of what a run writes, but not the names by which it is found."""
    identities = {spec.name, machine_id(env)}
    for target in spec.targets.values():
        identities |= {target.name, target.bucket, target.folder, target.region or ""}
    return Scrubber(secrets, public=spec.text, identities=identities)


@contextlib.contextmanager
def _scratch(guard: process.Guard) -> Iterator[Path]:
    with temporary.folder() as folder:
        guard.send("remove", str(folder))
        yield folder


@contextlib.contextmanager
def _started(
    target: Target, scratch: Path, binary: str, keys: dict[str, str], guard: process.Guard
) -> Iterator[Target]:
    if target.provider != "embedded":
        yield target
        return
    folder = scratch / "served" / target.name
    with embedded.serve(target, folder, binary, keys, guard) as served:
        yield served


def _secrets(
    targets: Mapping[str, Target], env: Mapping[str, str], keys: Mapping[str, str]
) -> dict[str, str]:
    """Every secret that the targets name. Raises `HpsError` naming one that is unset, or odd."""
    known = {**env, **keys}
    names = {reference.env for target in targets.values() for reference in target.secrets}
    missing = sorted(name for name in names if not known.get(name))
    if missing:
        raise HpsError(
            f"not set in the environment: {', '.join(missing)}",
            f"export {missing[0]}=…, or pass -e {missing[0]} to the container",
        )
    return {name: odd_values.checked(name, known[name], is_key=True) for name in sorted(names)}


# -------------------------------------------------------------------------------------------------
# A start of a run, and who watches it.


class Listener(Protocol):
    """Who watches a run: the events, and each operation as it starts and ends."""

    def event(self, name: str, **fields: object) -> None:
        """Something happened that a person or a log is to know."""

    def started(self, operation: Operation) -> None:
        """An operation starts now."""

    def stored(self, record: Record) -> None:
        """A record is on disk."""


@dataclass(slots=True)
class RememberingListener:
    """A listener that remembers what could not be removed from a bucket, and why."""

    listener: Listener
    leftovers: list[str] = field(default_factory=list)

    def event(self, name: str, **fields: object) -> None:
        if name == "clean_up_failed":
            self.leftovers.append(f"{fields['key']} ({fields['what']}): {fields['reason']}")
        self.listener.event(name, **fields)

    def started(self, operation: Operation) -> None:
        self.listener.started(operation)

    def stored(self, record: Record) -> None:
        self.listener.stored(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What follows from the checks. `away` is why the results' own target can't be used for now.

    `failure`, of the target `target`, is why the run can't begin; None where it can.
    """

    checked: tuple[TargetCheck, ...] = ()
    failure: Failure | None = None
    target: str = ""
    away: Failure | None = None

    @property
    def has_leftovers(self) -> bool:
        """True where something that was written to a target could not be deleted again."""
        return any(check.leftover for check in self.checked)

    def why_unusable(self, target: str) -> str:
        """Why a target can't be used; empty where it can, or was not checked."""
        found = (check.failure for check in self.checked if check.target == target)
        return next((why.reason for why in found if why is not None), "")


NOT_CHECKED = Preflight()


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """This node's place in a fleet: the numbers of its cells, of so many, and when all is over.

    `skew` is how far the clock of the bucket, by which `ends_at` is, is ahead of this machine's.
    `for_s`: it takes more cells once it has measured these, for so long. `starts_at`: all begin
    together then; `clock_error_s` is how much the skew may be off, None: nothing is known of it.
    """

    fleet: str
    cells: tuple[int, ...]
    of: int
    ends_at: datetime | None
    skew: timedelta
    for_s: float | None = None
    starts_at: datetime | None = None
    clock_error_s: float | None = None

    def is_over(self) -> bool:
        """True once nothing more is to begin."""
        return self.ends_at is not None and datetime.now(UTC) + self.skew >= self.ends_at

    def as_data(self) -> dict[str, object]:
        """As a field of the run line."""
        data: dict[str, object] = {
            "name": self.fleet,
            "cells": list(self.cells),
            "of": self.of,
        }
        if self.for_s is not None:
            data["minutes"] = self.for_s / 60
        if self.starts_at is not None:
            offset_s = None if self.clock_error_s is None else self.skew.total_seconds()
            data |= {"clock_offset_s": offset_s, "clock_error_s": self.clock_error_s}
            data["starts_at"] = utc_text(self.starts_at)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A start of `hps run`.

    `identity` is that of a new run, `home` the folder where such a run's journal belongs, and
    `lock` is the lock on that folder. `plan` has the cells of this node alone where it is a
    `member` of a fleet, or all that it may come to. Facts of the node are looked up in `env`;
    `render` makes the files beside a journal. A failure in `preflight` rejects the node.
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
    member: Membership | None = None

    @property
    def results_target(self) -> str:
        return self.plan.spec.results.target

    @property
    def unproved(self) -> tuple[tuple[str, str], ...]:
        """Each tool of the plan that is here, and its version, where that is not proved."""
        tools, found = self.tools, dict[tuple[str, str], None]()
        for operation in self.plan.operations:
            if operation.requested is None or operation.why_not:
                continue
            knobs = operation.cell.knobs
            here, target = tools.installed.get(knobs.tool), tools.targets[knobs.target]
            if isinstance(here, Installed) and not tools.proofs[knobs.tool].covers(target):
                found[knobs.tool, here.version] = None
        return tuple(found)

    @property
    def bucket_folder(self) -> str:
        """The experiment's results in the bucket, with a folder for each machine."""
        spec = self.plan.spec
        return "/".join(part for part in (spec.results.folder, spec.name) if part)

    @property
    def fetched(self) -> Path:
        """The local folder for journals from the bucket, with a folder for each machine."""
        return self.tools.scratch / "fetched"
