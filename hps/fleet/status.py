"""How far a fleet is, by its bucket alone: one list of a folder, from any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from tabulate import tabulate

from hps.errors import HpsError
from hps.model import Fleet, Spec
from hps.node.probe.check import ask
from hps.plan import share
from hps.plan.expand import expand
from hps.process.stop import NEVER
from hps.results.record import utc_text
from hps.run.fleet import DEAD_S, Others, end_of, look, name_of, until_of
from hps.run.session import open_tools

_ASK_TIMEOUT_S = 5.0
# A node's state, in the order in which they are shown.
STATES: Mapping[str, str] = {
    "done": "have measured their cells",
    "at_work": "are at work",
    "lost": f"have not been heard of for {DEAD_S / 60:g} min, and had not finished",
    "rejected": "were turned down",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A machine of a fleet, its state by `STATES`, and when something of it was last stored."""

    machine_id: str
    state: str
    cells: tuple[int, ...]
    seen_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """What is known of a fleet. `covered`: how many nodes, done or at work, have each cell."""

    fleet: str
    experiment: str
    wanted: int | None
    nodes: tuple[NodeStatus, ...]
    covered: tuple[int, ...]
    began_at: datetime | None
    ends_at: datetime | None

    def count(self, state: str) -> int:
        """How many nodes are in a state."""
        return sum(node.state == state for node in self.nodes)

    def as_data(self) -> dict[str, object]:
        """The document for programs."""
        return {
            "fleet": self.fleet,
            "experiment": self.experiment,
            "wanted": self.wanted,
            "states": {state: self.count(state) for state in STATES},
            "covered": list(self.covered),
            "began_at": _time(self.began_at),
            "ends_at": _time(self.ends_at),
            "nodes": [
                {
                    "machine_id": node.machine_id,
                    "state": node.state,
                    "cells": list(node.cells),
                    "seen_at": _time(node.seen_at),
                }
                for node in self.nodes
            ],
        }

    def as_text(self) -> str:
        """A few lines for people."""
        counts = [(f"{self.count(state):,}", words) for state, words in STATES.items()]
        facts = [
            ("fleet", f"{self.fleet}, of {self.experiment}"),
            ("nodes", f"{len(self.nodes):,}" + _of(self.wanted)),
            *(("", f"{count} {words}") for count, words in counts if count != "0"),
            ("cells", _coverage(self.covered)),
            ("began", _time(self.began_at) or "no node has announced itself yet"),
            ("ends", _time(self.ends_at) or ""),
        ]
        return tabulate([fact for fact in facts if fact[1]], tablefmt="plain") + "\n"


def find_status(spec: Spec, env: Mapping[str, str]) -> FleetStatus:
    """Look how far the fleet of an experiment is.

    Raises `HpsError` where the experiment has none, or its bucket can't be listed.
    """
    fleet, target = spec.fleet, spec.targets[spec.results.target]
    if fleet is None:
        hint = "add fleet: {nodes: 10}; without it each node measures all, and none knows of others"
        raise HpsError(f"'{spec.name}' has no fleet", hint)
    if target.provider == "embedded":
        hint = "name a bucket in results.target that all nodes reach"
        raise HpsError(f"'{spec.name}' keeps its results in a server that ends with each run", hint)
    name, until, cells = name_of(spec.sha256, env), until_of(env), len(expand(spec).cells)
    offset_s = ask(target, timeout_s=_ASK_TIMEOUT_S).clock_offset_s or 0.0
    with open_tools(spec, env) as tools:
        folder = "/".join(part for part in (spec.results.folder, spec.name) if part)
        others = look(tools.link(target.name, folder, NEVER), name, cells)
    now = datetime.now(UTC) + timedelta(seconds=offset_s)
    return _status(spec, fleet, name, others, cells, until, now)


def _status(
    spec: Spec,
    fleet: Fleet,
    name: str,
    others: Others,
    cells: int,
    until: datetime | None,
    now: datetime,
) -> FleetStatus:
    machines = sorted(others.shares.keys() | others.done | others.rejected)
    nodes = tuple(
        NodeStatus(
            machine_id=machine,
            state=_state(machine, others, now),
            cells=others.shares.get(machine, ()),
            seen_at=others.seen.get(machine),
        )
        for machine in machines
    )
    counted = (node.cells for node in nodes if node.state in {"done", "at_work"})
    return FleetStatus(
        fleet=name,
        experiment=spec.name,
        wanted=fleet.nodes,
        nodes=nodes,
        covered=tuple(share.count(counted, cells)),
        began_at=min(others.announced, default=None),
        ends_at=until or (end_of(fleet, others, now) if others.announced else None),
    )


def _state(machine: str, others: Others, now: datetime) -> str:
    if machine in others.done:
        return "done"
    if machine in others.rejected:
        return "rejected"
    return "at_work" if others.is_alive(machine, now) else "lost"


def _of(wanted: int | None) -> str:
    return "" if wanted is None else f" have begun; {wanted:,} are wanted"


def _coverage(covered: tuple[int, ...]) -> str:
    least, most = min(covered), max(covered)
    middle = f"{median(covered):g}"
    return f"{len(covered):,}, each at {least:,} to {most:,} nodes, {middle} in the median"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)
